//! Reading what the kernel tells about processes.

use super::*;

#[test]
fn a_name_may_hold_anything() {
    assert_eq!(parse_parent("17 (a) b (c) S 4 17 17 0"), Some(4));
    assert_eq!(parse_parent("17 (postgres: clm) S 1 17"), Some(1));
    assert_eq!(parse_parent("nonsense"), None);
}

#[test]
fn a_field_is_found_by_its_whole_name() {
    let text = "Pss_Anon:  9 kB\nPss:   2048 kB\nVmRSS:\t  4096 kB\n";
    assert_eq!(parse_field_kib(text, "Pss"), Some(2048.0));
    assert_eq!(parse_field_kib(text, "VmRSS"), Some(4096.0));
    assert_eq!(parse_field_kib(text, "VmHWM"), None);
}

#[test]
fn we_use_memory_and_our_child_is_below_us() {
    let own = std::process::id();
    assert!(resident_mib(own).unwrap() > 0.5);
    let mut child = std::process::Command::new("sleep")
        .arg("5")
        .spawn()
        .unwrap();
    assert!(descendants(own).contains(&child.id()));
    assert!(descendants_mib(own).unwrap() > 0.0);
    child.kill().unwrap();
    child.wait().unwrap();
}
