package kubelet

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"k8s.io/mount-utils"
)

func TestADriverInstalledBeforeTheKubeletStartsIsFound(t *testing.T) {
	n := newNode(t)
	n.install()
	k := n.startKubelet()
	for _, driver := range installed() {
		k.expectLoaded(driver, true)
	}
	k.expectNoFailedProbe()
}

func TestADriverInstalledWhileTheKubeletRunsIsFound(t *testing.T) {
	n := newNode(t)
	k := n.startKubelet()
	if k.loaded(tested.name) {
		t.Fatal("a driver is loaded before any is installed")
	}
	n.install()
	for _, driver := range installed() {
		k.expectLoaded(driver, true)
		if count := k.callouts.count(driver, "init"); count != 1 {
			t.Errorf("%s: init ran %d times, want 1", driver, count)
		}
	}
	k.expectNoFailedProbe()
}

func TestAPluginDirectoryThatDoesNotExistIsMadeByTheInstall(t *testing.T) {
	n := newNode(t)
	n.plugins = filepath.Join(n.root, "made", "by", "install")
	n.install()
	k := n.startKubelet()
	k.expectLoaded(tested.name, true)
}

func TestAnInstallShowsNothingButDriverDirectories(t *testing.T) {
	n := newNode(t)
	n.install()
	n.upgrade()
	entries, err := os.ReadDir(n.plugins)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		path := filepath.Join(n.plugins, entry.Name())
		if entry.Name()[0] == '.' {
			continue
		}
		if !slices.Contains([]string{n.driverDirectory(tested.name), n.driverDirectory(directoryDriver)}, path) {
			t.Errorf("%s is not a driver, and the kubelet would probe it", path)
		}
		if !entry.IsDir() {
			t.Errorf("%s is not a real directory: a starting kubelet would not see it", path)
		}
	}
}

func TestAnUpgradeCausesExactlyOneInitAndKeepsTheDriverWorking(t *testing.T) {
	for _, started := range []string{"before the first install", "after the first install"} {
		t.Run("kubelet started "+started, func(t *testing.T) {
			n := newNode(t)
			if started == "after the first install" {
				n.install()
			}
			k := n.startKubelet()
			if started == "before the first install" {
				n.install()
			}
			for _, driver := range installed() {
				k.expectLoaded(driver, true)
			}
			settle()
			k.loaded(tested.name)
			before := map[string]int{}
			for _, driver := range installed() {
				before[driver] = k.callouts.count(driver, "init")
			}

			spec, pod := ordinaryVolume("data"), newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			write(t, "kept", directory, "file")
			n.upgrade()
			settle()
			for range 5 {
				for _, driver := range installed() {
					if !k.loaded(driver) {
						t.Fatalf("%s is not loaded after an upgrade", driver)
					}
				}
				settle()
			}
			for _, driver := range installed() {
				if count := k.callouts.count(driver, "init") - before[driver]; count != 1 {
					t.Errorf("%s: an upgrade caused %d inits, want 1", driver, count)
				}
			}
			expectContent(t, "kept", directory, "file")
			k.mustTearDown(spec, pod)
			k.expectNoFailedProbe()
		})
	}
}

func TestInstallsUnderConstantLookupsNeverCauseAFailingProbe(t *testing.T) {
	n := newNode(t)
	k := n.startKubelet()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				k.loaded(tested.name)
			}
		}
	}()
	for round := range 6 {
		if round%2 == 0 {
			_, err := n.try(n.installArguments()...)
			if err != nil {
				t.Error(err)
			}
		} else {
			n.upgrade()
		}
		settle()
	}
	close(stop)
	<-stopped
	k.expectNoFailedProbe()
	k.expectLoaded(tested.name, true)
}

func TestUninstallUnloadsTheDriverAndLeavesNoFailingProbe(t *testing.T) {
	for _, upgraded := range []bool{false, true} {
		t.Run(map[bool]string{false: "installed once", true: "upgraded"}[upgraded], func(t *testing.T) {
			n := newNode(t)
			n.install()
			k := n.startKubelet()
			k.expectLoaded(tested.name, true)
			if upgraded {
				n.upgrade()
				k.expectLoaded(tested.name, true)
			}
			settle()
			if err := n.uninstall(tested.backend); err != nil {
				t.Fatal(err)
			}
			settle()
			if k.loaded(tested.name) {
				t.Errorf("%s is still loaded", tested.name)
			}
			if exists(t, n.driverDirectory(tested.name)) {
				t.Error("the driver's directory is still there")
			}
			if !k.loaded(directoryDriver) {
				t.Error("becket/directory, not uninstalled, is gone")
			}
			k.expectNoFailedProbe()

			n.install()
			k.expectLoaded(tested.name, true)
		})
	}
}

func TestADriverThatWasWipedIsFoundWhenInstalledAgain(t *testing.T) {
	cases := map[string]func(n *node) string{
		"its directory":              func(n *node) string { return n.driverDirectory(tested.name) },
		"the whole plugin directory": func(n *node) string { return n.plugins },
	}
	for name, wiped := range cases {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.install()
			k := n.startKubelet()
			k.expectLoaded(tested.name, true)
			n.removeTree(wiped(n))
			k.expectLoaded(tested.name, false)
			settle()
			n.install()
			k.expectLoaded(tested.name, true)
			settle()
			spec, pod := ordinaryVolume("data"), newPod("default", "one")
			k.mustSetUp(spec, pod)
			k.mustTearDown(spec, pod)
		})
	}
}

func TestRefreshBringsBackADriverWhoseProbeFailedWhenTheKubeletStarted(t *testing.T) {
	n := newNode(t)
	n.refresh("1s")
	callouts := newRecorder()
	callouts.failInit(true)
	k := n.startKubeletWith(callouts, mount.New(""))
	if k.loaded(tested.name) || len(k.prober.failed()) == 0 {
		t.Fatal("the failing start was not seen")
	}
	callouts.failInit(false)
	for _, driver := range installed() {
		k.expectLoaded(driver, true)
	}
}

func TestWithoutRefreshTheKubeletForgetsADriverWhoseProbeFailed(t *testing.T) {
	n := newNode(t)
	n.install()
	callouts := newRecorder()
	callouts.failInit(true)
	k := n.startKubeletWith(callouts, mount.New(""))
	callouts.failInit(false)
	settle()
	if k.loaded(tested.name) {
		t.Fatal("this kubelet retries by itself: --refresh is no longer needed")
	}
	n.install()
	settle()
	if !k.loaded(tested.name) {
		t.Fatal("installing again did not bring the driver back")
	}
}

func TestRefreshMovesTheTimesOfADriverFileAndRunsInitOncePerInterval(t *testing.T) {
	n := newNode(t)
	n.refresh("1s")
	k := n.startKubelet()
	k.expectLoaded(tested.name, true)
	accessed, modified := times(t, n.driverFile(tested.name))
	before := k.callouts.count(tested.name, "init")

	for end := time.Now().Add(3500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !k.loaded(tested.name) {
			t.Fatal("a refresh unloaded the driver")
		}
	}
	laterAccessed, laterModified := times(t, n.driverFile(tested.name))
	if !laterAccessed.After(accessed) || !laterModified.After(modified) {
		t.Errorf("times did not move: accessed %s then %s, modified %s then %s", accessed, laterAccessed, modified, laterModified)
	}
	if count := k.callouts.count(tested.name, "init") - before; count < 2 || count > 5 {
		t.Errorf("%d inits in 3.5 s of refreshing every second", count)
	}
	k.expectNoFailedProbe()
}

func times(t *testing.T, path string) (accessed, modified time.Time) {
	t.Helper()
	var status syscall.Stat_t
	if err := syscall.Stat(path, &status); err != nil {
		t.Fatal(err)
	}
	return time.Unix(status.Atim.Unix()), time.Unix(status.Mtim.Unix())
}
