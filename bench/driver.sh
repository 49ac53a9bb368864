#!/bin/bash
# A FlexVolume driver as people write them: bash, jq for the options, losetup and mount.
# A volume is an image file with ext4 in it, made by its first mount, as Becket's image driver has it.
# The benchmark compares Becket with it. Nobody should use it: it locks nothing, syncs nothing, and
# a kill at the wrong moment leaves a loop device behind.

ATTACH=false

HERE=$(dirname "$0")
IMAGES=$HERE/images
STAGED=$HERE/staged

success() {
    echo "{\"status\": \"Success\"${1:+, $1}}"
    exit 0
}

failure() {
    jq -c -n --arg message "$1" '{status: "Failure", message: $message}'
    exit 1
}

option() {
    jq -r --arg key "$2" '.[$key] // empty' <<<"$1"
}

# Makes the image of the volume where there is none.
make_image() {
    [ -e "$2" ] && return
    size=$(option "$1" size)
    truncate -s "$size" "$2" || failure "cannot make $2"
    mkfs.ext4 -q -m 0 "$2" >/dev/null 2>&1 || failure "cannot format $2"
}

device_of() {
    losetup --noheadings --output NAME --associated "$1" | head -n 1
}

bind() {
    mountpoint -q "$2" && return
    mount --bind "$1" "$2" 2>/dev/null || failure "cannot bind $1 to $2"
    if [ "$(option "$3" kubernetes.io/readwrite)" = ro ]; then
        mount -o remount,ro,bind "$2" 2>/dev/null || failure "cannot make $2 read-only"
    fi
}

unmount() {
    if mountpoint -q "$1"; then
        umount "$1" 2>/dev/null || failure "cannot unmount $1"
    fi
}

# mount DIR JSON: stage where that has not been done, then bind.
mount_volume() {
    if [ "$ATTACH" = true ]; then
        # The device directory of the same volume, as the kubelet lays it out.
        bind "${1%%/pods/*}/plugins/$(option "$2" kubernetes.io/pvOrVolumeName)" "$1" "$2"
        success
    fi
    name=$(option "$2" name)
    [ -n "$name" ] || failure "option name is missing"
    if ! mountpoint -q "$STAGED/$name"; then
        make_image "$2" "$IMAGES/$name"
        device=$(losetup --find --show "$IMAGES/$name") || failure "cannot attach $name"
        mkdir -p "$STAGED/$name"
        mount "$device" "$STAGED/$name" 2>/dev/null || failure "cannot mount $device"
    fi
    mkdir -p "$1"
    bind "$STAGED/$name" "$1" "$2"
    success
}

# unmount DIR: the stage too, when that was its last use.
unmount_volume() {
    mountpoint -q "$1" || success
    device=$(findmnt --noheadings --output SOURCE --mountpoint "$1" | sed 's/\[.*//')
    unmount "$1"
    [ "$ATTACH" = true ] && success
    left=$(findmnt --noheadings --output TARGET --source "$device")
    if [ "$(wc -l <<<"$left")" = 1 ]; then
        unmount "$left"
        losetup --detach "$device" 2>/dev/null || failure "cannot detach $device"
    fi
    success
}

attach() {
    name=$(option "$1" name)
    make_image "$1" "$IMAGES/$name"
    device=$(device_of "$IMAGES/$name")
    [ -n "$device" ] || device=$(losetup --find --show "$IMAGES/$name") || failure "cannot attach $name"
    success "\"device\": \"$device\""
}

case "$1" in
init)
    success "\"capabilities\": {\"attach\": $ATTACH, \"requiresFSResize\": true}"
    ;;
attach)
    attach "$2"
    ;;
isattached)
    [ -n "$(device_of "$IMAGES/$(option "$2" name)")" ] && success '"attached": true'
    success '"attached": false'
    ;;
waitforattach)
    [ -b "$2" ] || failure "$2 is no device"
    success "\"device\": \"$2\""
    ;;
mountdevice)
    mountpoint -q "$2" && success
    mkdir -p "$2"
    mount "$3" "$2" 2>/dev/null || failure "cannot mount $3"
    success
    ;;
mount)
    mount_volume "$2" "$3"
    ;;
unmount)
    unmount_volume "$2"
    ;;
unmountdevice)
    unmount "$2"
    success
    ;;
detach)
    device=$(device_of "$IMAGES/$2")
    [ -z "$device" ] || losetup --detach "$device" 2>/dev/null || failure "cannot detach $device"
    success
    ;;
expandfs)
    image=$IMAGES/$(option "$2" name)
    if [ "$(stat -c %s "$image")" -lt "$5" ]; then
        truncate -s "$5" "$image"
        device=$(device_of "$image")
        losetup --set-capacity "$device" && resize2fs "$device" >/dev/null 2>&1 || failure "cannot grow $image"
    fi
    success "\"volumeNewSize\": $5"
    ;;
*)
    echo '{"status": "Not supported"}'
    exit 1
    ;;
esac
