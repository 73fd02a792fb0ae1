//! Reading what the kernel tells.

use super::*;

#[test]
fn the_first_number_is_the_last_minute() {
    assert_eq!(
        parse_load_average("0.42 1.10 2.00 1/200 4711\n"),
        Some(0.42)
    );
    assert_eq!(parse_load_average(""), None);
}

#[test]
fn the_nearest_mount_holds_the_path() {
    let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
    let kind = |path: &str| find_file_system(mounts, Path::new(path));
    assert_eq!(kind("/var/tmp").as_deref(), Some("ext4"));
    assert_eq!(kind("/tmp/y").as_deref(), Some("tmpfs"));
    assert_eq!(kind("/tmp/x/y").as_deref(), Some("xfs"));
}
