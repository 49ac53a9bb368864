//! What tests of storage find in a guest.

use crate::script;

const DISK: &str = "
    truncate -s 1G /tmp/disk; disk=$(losetup -f --show /tmp/disk)
    vgcreate -q vg $disk; lvcreate -q -y -L 512M --thinpool pool vg; mkdir /mnt/m
";

#[test]
fn thin_volumes_their_snapshots_and_encryption_are_real() {
    let lines = "
        lvcreate -q -y -V 200M --thin -n thin vg/pool
        mkfs.ext4 -q /dev/vg/thin; mount /dev/vg/thin /mnt/m; echo before >/mnt/m/f; sync
        lvcreate -q -y -s -n copy vg/thin; echo after >/mnt/m/f; umount /mnt/m
        lvchange -ay -K vg/copy; mount -o ro,noload /dev/vg/copy /mnt/m
        cp /mnt/m/f /tmp/seen; umount /mnt/m
        lvcreate -q -y -L 64M -n secret vg
        format='luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000'
        echo -n key | cryptsetup -q $format /dev/vg/secret -
        echo -n key | cryptsetup open /dev/vg/secret open -
        mkfs.ext4 -q /dev/mapper/open; mount /dev/mapper/open /mnt/m; umount /mnt/m
        cryptsetup close open; vgremove -ff -y vg";
    let Some(stdout) = script(&[], &format!("{{ {DISK}{lines}\n}} >&2; cat /tmp/seen")) else {
        return;
    };
    assert_eq!(stdout, "before\n");
}

#[test]
fn mounted_filesystems_grow() {
    let lines = "
        for kind in ext4 xfs btrfs; do
            lvcreate -q -y -V 320M --thin -n $kind vg/pool; mkfs.$kind -q /dev/vg/$kind
            mount /dev/vg/$kind /mnt/m; before=$(stat -f -c %b /mnt/m)
            lvextend -q -L 400M vg/$kind
            case $kind in
                ext4) resize2fs /dev/vg/ext4 ;;
                xfs) xfs_growfs /mnt/m ;;
                btrfs) btrfs filesystem resize max /mnt/m ;;
            esac
            [ $(stat -f -c %b /mnt/m) -gt $before ]; umount /mnt/m; lvremove -q -y vg/$kind
        done";
    script(&[], &format!("{DISK}{lines}"));
}

#[test]
fn project_quotas_limit_a_directory() {
    let lines = "mkdir /mnt/m
        for kind in ext4 xfs; do
            truncate -s 400M /tmp/$kind
            case $kind in
                ext4) mkfs.ext4 -q -O quota,project /tmp/ext4 ;;
                xfs) mkfs.xfs -q /tmp/xfs ;;
            esac
            mount -o loop,prjquota /tmp/$kind /mnt/m; mkdir /mnt/m/limited /mnt/m/free
            chattr -p 5 +P /mnt/m/limited
            xfs_quota -f -x -c 'limit -p bhard=10m 5' /mnt/m
            chmod 777 /mnt/m/free; setpriv --reuid 1 dd if=/dev/zero of=/mnt/m/free/f bs=1M count=20
            chmod 777 /mnt/m/limited # root is above the limits of ext4
            if setpriv --reuid 1 dd if=/dev/zero of=/mnt/m/limited/f bs=1M count=20; then exit 1; fi
            [ $(stat -c %s /mnt/m/limited/f) -le $((10 << 20)) ]; umount /mnt/m
        done";
    script(&[], lines);
}

const CLIENT: &str = "
    for version in 3 4.0 4.1 4.2; do
        source=127.0.0.1:/; [ $version != 3 ] || source=127.0.0.1:/srv
        mount -t nfs -o vers=$version,hard $source /mnt; echo $version >/mnt/f
        flock -n /mnt/lock true
        [ $(cat /srv/f) = $version ]; grep -q vers=$version /proc/self/mountinfo; umount /mnt
    done
";

const EXPORT: &str = "
    truncate -s 64M /tmp/disk; mkfs.ext4 -q /tmp/disk; mount -o loop /tmp/disk /srv
    exportfs -o rw,no_root_squash,no_subtree_check,fsid=0 127.0.0.1:/srv
";

#[test]
fn every_version_of_nfs_mounts_from_the_guests_own_server() {
    script(&["--nfsd"], &format!("{EXPORT}{CLIENT}"));
}

#[test]
fn the_server_starts_stops_and_starts_again_as_the_developers_page_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../CONTRIBUTING.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let mut blocks = page.split("```sh\n").filter_map(|rest| rest.split("```").next());
    let start = blocks.find(|block| block.starts_with("modprobe nfsd")).expect("the steps");
    let again = "rpc.nfsd 0; [ $(cat /proc/fs/nfsd/threads) = 0 ]; rpc.nfsd
        echo Y >/proc/fs/nfsd/v4_end_grace || true";
    script(&[], &format!("{start}{EXPORT}{CLIENT}{again}{CLIENT}"));
}

#[test]
fn the_programs_that_tests_call_are_there() {
    let programs = "btrfs chattr cryptsetup dmsetup exportfs fsck.ext4 losetup lvm mkfs.btrfs mkfs.ext4 \
        mkfs.xfs modprobe mount mount.nfs nfsdcld nfsidmap resize2fs rpc.mountd rpc.nfsd rpc.statd \
        rpcbind thin_check udevadm umount.nfs xfs_growfs xfs_quota";
    let lines = format!("for program in {programs}; do command -v $program; done");
    script(&[], &lines);
}
