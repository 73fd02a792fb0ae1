//! Tests of `confinement`. What is given up is given up by one thread and those that it starts.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use super::*;

#[test]
fn what_is_out_of_reach_stays_there() {
    let place = tempfile::tempdir().unwrap();
    let (own, other) = (place.path().join("own"), place.path().join("other"));
    for directory in [&own, &other] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("file"), "x").unwrap();
    }
    let [database, elsewhere] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let ports = [&database, &elsewhere].map(port);
    let listen = TcpListener::bind("127.0.0.1:0").unwrap();
    let listened = port(&listen);
    drop(listen);
    let reach = Reach {
        write: vec![own.clone(), place.path().join("missing")],
        read: vec![PathBuf::from("/etc/hosts")],
        listen: vec![listened],
        connect: vec![ports[0]],
    };
    let confined = std::thread::spawn(move || {
        let confinement = reach.keep().unwrap();
        if confinement == Confinement::None {
            println!("not tested: this kernel has no Landlock");
            return;
        }
        fs::write(own.join("new"), "y").unwrap();
        fs::rename(own.join("new"), own.join("file")).unwrap();
        assert_eq!(fs::read_to_string(own.join("file")).unwrap(), "y");
        fs::read("/etc/hosts").unwrap();
        let refused = |outcome: std::io::Result<()>| {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
        };
        refused(fs::read(other.join("file")).map(drop));
        refused(fs::write(other.join("file"), "z"));
        refused(fs::remove_file(other.join("file")));
        refused(fs::write("/etc/hosts", "z"));
        refused(Command::new("/bin/true").status().map(drop));
        if confinement == Confinement::Whole {
            TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
            refused(TcpStream::connect(("127.0.0.1", ports[1])).map(drop));
            TcpListener::bind(("127.0.0.1", listened)).unwrap();
            refused(TcpListener::bind("127.0.0.1:0").map(drop));
        }
    });
    confined.join().unwrap();
    // Everybody else goes on as before.
    assert_eq!(
        fs::read_to_string(place.path().join("other/file")).unwrap(),
        "x"
    );
}
