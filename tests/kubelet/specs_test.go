package kubelet

import (
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/volume"
)

type options map[string]string

// with gives the options changed by others.
func (o options) with(others options) options {
	changed := maps.Clone(o)
	maps.Copy(changed, others)
	return changed
}

// ordinaryOptions describe a volume of 64 MiB that the first mount makes.
func ordinaryOptions(name string) options {
	return options{"name": name, "size": "64Mi"}.with(tested.options)
}

func newPod(namespace, name string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + namespace + "-" + name)},
		Spec:       v1.PodSpec{ServiceAccountName: "default"},
	}
}

// inline is a volume written into the pod.
func inline(driver, name string, options options, readOnly bool) *volume.Spec {
	return volume.NewSpecFromVolume(&v1.Volume{
		Name: name,
		VolumeSource: v1.VolumeSource{
			FlexVolume: &v1.FlexVolumeSource{Driver: driver, ReadOnly: readOnly, Options: options},
		},
	})
}

// persistent is a volume the pod reaches through a claim, which may be read-only.
func persistent(driver, name string, options options, readOnly bool) *volume.Spec {
	return volume.NewSpecFromPersistentVolume(&v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeSpec{
			Capacity:    v1.ResourceList{v1.ResourceStorage: resource.MustParse("64Mi")},
			AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			PersistentVolumeSource: v1.PersistentVolumeSource{
				FlexVolume: &v1.FlexPersistentVolumeSource{Driver: driver, Options: options},
			},
		},
	}, readOnly)
}

// ordinaryVolume is the ordinary case. The kubelet knows it by another name than Becket does.
func ordinaryVolume(name string) *volume.Spec {
	return persistent(tested.name, "pv-"+name, ordinaryOptions(name), false)
}

// fileSystem is a kind of file system with sizes it can have.
type fileSystem struct {
	kind          string
	before, after int64
}

var fileSystems = []fileSystem{
	{"ext4", 64 * mebibyte, 160 * mebibyte},
	{"xfs", 320 * mebibyte, 480 * mebibyte},
	{"btrfs", 320 * mebibyte, 480 * mebibyte},
}

// volume is a persistent volume with this file system, of the smaller size.
func (f fileSystem) volume(name string) *volume.Spec {
	spec := persistent(tested.name, "pv-"+name, ordinaryOptions(name).with(options{"size": fmt.Sprintf("%dMi", f.before/mebibyte)}), false)
	setFSType(spec, f.kind)
	return spec
}

func setFSType(spec *volume.Spec, fsType string) {
	if spec.Volume != nil {
		spec.Volume.FlexVolume.FSType = fsType
	} else {
		spec.PersistentVolume.Spec.FlexVolume.FSType = fsType
	}
}
