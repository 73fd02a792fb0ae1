//! Tests of `hardening`. Each runs in a process of its own.

use rustix::process::dumpable_behavior;
use rustix::thread::no_new_privs;

use super::*;

#[test]
fn what_is_given_up_does_not_come_back() {
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    apply().unwrap();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert!(no_new_privs().unwrap());
    let limit = getrlimit(Resource::Core);
    assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    assert!(set_no_new_privs(false).is_err());
}

#[test]
fn memory_is_locked_only_where_all_of_it_may_be() {
    let locked = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        line.unwrap().split_whitespace().nth(1).unwrap() != "0"
    };
    assert!(!locked());
    let few = Rlimit {
        current: Some(64 * 1024),
        maximum: getrlimit(Resource::Memlock).maximum,
    };
    setrlimit(Resource::Memlock, few).unwrap();
    lock_memory();
    assert!(!locked());
    // Root may lock more than its limit says.
    if let Err(error) = lock_all() {
        println!("not tested further: this account may not lock all its memory: {error}");
        return;
    }
    assert!(locked());
    // Memory that comes later is to be had all the same.
    assert_eq!(std::hint::black_box(vec![1_u8; 32 << 20]).len(), 32 << 20);
}
