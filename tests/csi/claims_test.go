package csi

import (
	"context"
	"fmt"
	"testing"

	api "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// claims is what a driver says it can do: the names of its capabilities, with their service before them.
type claims map[string]bool

// skips names, for each reason for which csi-sanity skips a spec, the capability that a driver must not have then. Any other reason is
// a fault of the driver or of these tests.
var skips = map[string]string{
	"GetCapacity not supported":                                   "controller GET_CAPACITY",
	"ListVolumes not supported":                                   "controller LIST_VOLUMES",
	"CreateVolume not supported":                                  "controller CREATE_DELETE_VOLUME",
	"Snapshot not supported":                                      "controller CREATE_DELETE_SNAPSHOT",
	"Volume Cloning not supported":                                "controller CLONE_VOLUME",
	"Modify volume not supported":                                 "controller MODIFY_VOLUME",
	"Modify Volume not supported":                                 "controller MODIFY_VOLUME",
	"DeleteVolume not supported":                                  "controller CREATE_DELETE_VOLUME",
	"ControllerPublishVolume not supported":                       "controller PUBLISH_UNPUBLISH_VOLUME",
	"ControllerPublishVolume.readonly field not supported":        "controller PUBLISH_READONLY",
	"Controller Publish, UnpublishVolume not supported":           "controller PUBLISH_UNPUBLISH_VOLUME",
	"ControllerUnpublishVolume not supported":                     "controller PUBLISH_UNPUBLISH_VOLUME",
	"ListSnapshots not supported":                                 "controller LIST_SNAPSHOTS",
	"GetSnapshot not supported":                                   "controller GET_SNAPSHOT",
	"DeleteSnapshot not supported":                                "controller CREATE_DELETE_SNAPSHOT",
	"CreateSnapshot not supported":                                "controller CREATE_DELETE_SNAPSHOT",
	"SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported":            "plugin SNAPSHOT_ACCESSIBILITY_CONSTRAINTS",
	"ControllerExpandVolume not supported":                        "controller EXPAND_VOLUME",
	"ControllerModifyVolume not supported":                        "controller MODIFY_VOLUME",
	"ControllerGetVolumeHealth not supported":                     "controller GET_VOLUME_HEALTH",
	"ControllerListVolumeHealth not supported":                    "controller LIST_VOLUME_HEALTH",
	"GroupControllerService not supported":                        "plugin GROUP_CONTROLLER_SERVICE",
	"VolumeGroupSnapshots not supported":                          "group CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT",
	"Service does not have single node multi writer capability":   "node SINGLE_NODE_MULTI_WRITER",
	"NodeStageVolume not supported":                               "node STAGE_UNSTAGE_VOLUME",
	"NodeUnstageVolume not supported":                             "node STAGE_UNSTAGE_VOLUME",
	"NodeGetVolume not supported":                                 "node GET_VOLUME_STATS",
	"NodeExpandVolume not supported":                              "node EXPAND_VOLUME",
	"NodeGetVolumeHealth not supported":                           "node GET_VOLUME_HEALTH",
	"NodeGetStorageHealth not supported":                          "node GET_STORAGE_HEALTH",
	"Controller Service not provided: CreateVolume not supported": "plugin CONTROLLER_SERVICE",
}

// forbidSkipping says why a spec must not have been skipped; nothing when that is in order.
func (c claims) forbidSkipping(s spec) string {
	capability, known := skips[s.Message]
	switch {
	case !known:
		return "that is no reason that a capability explains"
	case c[capability]:
		return "the driver claims " + capability
	default:
		return ""
	}
}

// claimsOf asks a driver's services, the controller's where a second connection has it.
func claimsOf(ctx context.Context, node, controller *grpc.ClientConn) (claims, error) {
	found := claims{}
	plugin, err := api.NewIdentityClient(controller).GetPluginCapabilities(ctx, &api.GetPluginCapabilitiesRequest{})
	if err != nil {
		return nil, fmt.Errorf("GetPluginCapabilities: %w", err)
	}
	for _, capability := range plugin.GetCapabilities() {
		found["plugin "+capability.GetService().GetType().String()] = true
	}
	of, err := api.NewNodeClient(node).NodeGetCapabilities(ctx, &api.NodeGetCapabilitiesRequest{})
	if err != nil {
		return nil, fmt.Errorf("NodeGetCapabilities: %w", err)
	}
	for _, capability := range of.GetCapabilities() {
		found["node "+capability.GetRpc().GetType().String()] = true
	}
	if found["plugin CONTROLLER_SERVICE"] {
		of, err := api.NewControllerClient(controller).ControllerGetCapabilities(ctx, &api.ControllerGetCapabilitiesRequest{})
		if err != nil {
			return nil, fmt.Errorf("ControllerGetCapabilities: %w", err)
		}
		for _, capability := range of.GetCapabilities() {
			found["controller "+capability.GetRpc().GetType().String()] = true
		}
	}
	if found["plugin GROUP_CONTROLLER_SERVICE"] {
		of, err := api.NewGroupControllerClient(controller).GroupControllerGetCapabilities(ctx, &api.GroupControllerGetCapabilitiesRequest{})
		if err != nil {
			return nil, fmt.Errorf("GroupControllerGetCapabilities: %w", err)
		}
		for _, capability := range of.GetCapabilities() {
			found["group "+capability.GetRpc().GetType().String()] = true
		}
	}
	return found, nil
}

func TestASpecIsSkippedOnlyForWhatTheDriverDoesNotClaim(t *testing.T) {
	claimed := claims{"controller LIST_VOLUMES": true}
	for message, allowed := range map[string]bool{
		"ListVolumes not supported":             false,
		"GetCapacity not supported":             true,
		"capacity of the volume is unknown":     false,
		"testnodevolumeattachlimit not enabled": false,
	} {
		if reason := claimed.forbidSkipping(spec{Message: message}); (reason == "") != allowed {
			t.Errorf("%s: %q", message, reason)
		}
	}
}
