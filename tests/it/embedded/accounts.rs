//! Who runs the program: root, which hands everything to an account, and ordinary users.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use clm_tests::Program;

use super::inspect::{
    check_durability, check_files, check_owners, check_owners_are, family_of, is_root,
    ordinary_account, running, servers_of,
};
use super::{Identity, assert_cli_works, stop};

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_user_needs_no_root() {
    let account = ordinary_account();
    let uid = account.as_ref().map_or_else(own_uid, |account| account.uid);
    // Without root every other test is this one already.
    let mut program = account.map_or_else(Program::prepare, Program::prepare_as);
    program.serve();
    let identity = Identity::of(&program).await;
    check_owners_are(&program, uid);
    check_files(&program);
    check_durability(&program).await;
    assert_eq!(fs::metadata(program.data_directory()).unwrap().uid(), uid);
    let run = program.run_directory().unwrap();
    assert_eq!(fs::metadata(&run).unwrap().uid(), uid, "{}", run.display());
    assert_cli_works(&program);

    let left = family_of(program.postmaster_pid().unwrap());
    program.kill();
    program.serve();
    assert_eq!(
        running(&left),
        Vec::<u32>::new(),
        "a stray database is left"
    );
    assert_eq!(servers_of(&program).len(), 1);
    assert_eq!(Identity::of(&program).await, identity);
    stop(&mut program, "INT");
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_serves_from_a_directory_that_the_account_cannot_enter() {
    if !is_root() {
        return;
    }
    // Like a clone below /root.
    let mut program = Program::prepare_at("closed/clone/.clm");
    let closed = program.directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    program.serve();
    let identity = Identity::of(&program).await;
    let (data, state) = (program.data_directory(), program.state_directory());
    assert_eq!(
        state.parent(),
        Some(Path::new("/var/lib/clm")),
        "{}",
        state.display()
    );
    let hash = state.file_name().unwrap().to_str().unwrap();
    assert!(
        hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{hash}"
    );
    for name in ["bootstrap.json", "root-ca.pem", "master.key"] {
        assert_eq!(fs::read_link(data.join(name)).unwrap(), state.join(name));
        assert!(fs::metadata(data.join(name)).unwrap().is_file());
    }
    assert_eq!(
        fs::metadata(&data).unwrap().uid(),
        0,
        "the clone stays root's"
    );
    let stdout = fs::read_to_string(program.directory.path().join("stdout")).unwrap();
    assert!(stdout.contains(state.to_str().unwrap()), "{stdout}");
    check_owners(&program);
    check_files(&program);
    assert_cli_works(&program);
    assert!(
        program
            .cli(&["db", "reconcile", "--check"])
            .status
            .success()
    );
    assert!(program.cli(&["db", "verify"]).status.success());

    stop(&mut program, "TERM");
    program.serve();
    assert_eq!(Identity::of(&program).await, identity);
    assert_eq!(program.state_directory(), state);
    let left = family_of(program.postmaster_pid().unwrap());
    program.kill();
    program.serve();
    assert_eq!(
        running(&left),
        Vec::<u32>::new(),
        "a stray database is left"
    );
    assert_eq!(Identity::of(&program).await, identity);
    check_owners(&program);
    stop(&mut program, "INT");
}
