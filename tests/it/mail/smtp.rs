//! A real SMTP server for the program to send to: aiosmtpd, with STARTTLS and AUTH.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clm_test_support::cluster;
use clm_tests::openssl;
use clm_tests::program::free_address;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::judges;

/// How long a mail may take on a busy machine.
const ARRIVES_WITHIN: Duration = Duration::from_secs(45);
/// The password of the program at the server; with characters that a URL must escape.
pub(super) const PASSWORD: &str = "planted-Wq7/xV2@smtp";

/// A server of mail; ends when it is dropped.
pub(super) struct Smtp {
    child: Option<Child>,
    directory: TempDir,
    port: String,
    has_tls: bool,
}

/// A message that the server took.
#[derive(Clone, Debug)]
pub(super) struct Mail(pub(super) Value);

impl Smtp {
    /// With STARTTLS, which it demands, and AUTH.
    pub(super) fn start() -> Self {
        Self::begin(true)
    }

    /// With neither.
    pub(super) fn start_plain() -> Self {
        Self::begin(false)
    }

    fn begin(has_tls: bool) -> Self {
        let directory = cluster::directory();
        if has_tls {
            make_certificate(directory.path());
        }
        let address = free_address();
        let (_, port) = address.rsplit_once(':').unwrap();
        let mut server = Self {
            child: None,
            directory,
            port: port.to_owned(),
            has_tls,
        };
        server.set_mode("accept");
        server.up();
        server
    }

    /// Starts it, on the port that it always has.
    pub(super) fn up(&mut self) {
        let python = judges::directory("python").join("python");
        let mut command = Command::new(python);
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("it/mail/server.py"))
            .arg(self.directory.path())
            .arg(&self.port);
        if self.has_tls {
            command.args([self.path("server.pem"), self.path("server.key")]);
            command.args(["clm", PASSWORD]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n", "the SMTP server starts");
        self.child = Some(child);
    }

    /// Ends it.
    pub(super) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What it does with messages from now on.
    pub(super) fn set_mode(&self, mode: &str) {
        std::fs::write(self.directory.path().join("mode"), mode).unwrap();
    }

    /// Settings of a program that sends through it.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let port = &self.port;
        let mut settings = vec![
            (
                "CLM_SMTP_FROM",
                "Certificates <clm@sender.example>".to_owned(),
            ),
            ("CLM_PUBLIC_URL", super::PUBLIC_URL.to_owned()),
        ];
        match self.has_tls {
            true => {
                let password = PASSWORD.replace('/', "%2F").replace('@', "%40");
                let url = format!("smtp://clm:{password}@localhost:{port}");
                settings.push(("CLM_SMTP_URL", url));
                settings.push((
                    "CLM_SMTP_CA_FILE",
                    self.path("ca.pem").display().to_string(),
                ));
            }
            false => {
                let url = format!("smtp://127.0.0.1:{port}?tls=none");
                settings.push(("CLM_SMTP_URL", url));
            }
        }
        let owned = settings.into_iter();
        owned
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Everything that it took, in order.
    pub(super) fn taken(&self) -> Vec<Mail> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|found| found == "json"))
            .collect();
        files.sort();
        let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        files.iter().map(read).map(Mail).collect()
    }

    /// Everything that it took for an address.
    pub(super) fn taken_for(&self, address: &str) -> Vec<Mail> {
        let mut all = self.taken();
        all.retain(|mail| mail.0["to"] == Value::from(vec![address]));
        all
    }

    /// How often a message was brought, taken or not.
    pub(super) fn attempts(&self) -> usize {
        let text = std::fs::read_to_string(self.directory.path().join("attempts"));
        text.unwrap_or_default().lines().count()
    }

    /// Waits for the mail with this number, from one on, to an address.
    pub(super) async fn wait_for(&self, address: &str, number: usize) -> Mail {
        let begun = Instant::now();
        loop {
            if let Some(mail) = self.taken_for(address).get(number - 1) {
                return mail.clone();
            }
            assert!(
                begun.elapsed() < ARRIVES_WITHIN,
                "no mail {number} to {address}; there are {:?}",
                self.taken()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.down();
    }
}

impl Mail {
    /// A header; fails where there is none, or are several.
    pub(super) fn header(&self, name: &str) -> String {
        let headers = self.0["headers"].as_array().unwrap().iter();
        let found: Vec<&Value> = headers.filter(|pair| pair[0] == name).collect();
        assert_eq!(found.len(), 1, "{name} in {:?}", self.0);
        found[0][1].as_str().unwrap().to_owned()
    }

    /// The text.
    pub(super) fn body(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    /// The token of the one link, which leads to this page.
    pub(super) fn token(&self, page: &str) -> String {
        let begin = format!("{}/account/{page}#token=", super::PUBLIC_URL);
        let mut links = self.body().lines().filter(|line| line.contains("token="));
        let link = links
            .next()
            .unwrap_or_else(|| panic!("no link in {}", self.body()));
        assert_eq!(links.next(), None, "{}", self.body());
        link.strip_prefix(&begin)
            .unwrap_or_else(|| panic!("{link} does not begin with {begin}"))
            .to_owned()
    }
}

/// A CA of its own, and a certificate of it for `localhost`.
fn make_certificate(directory: &Path) {
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let run = |arguments: &[&str]| openssl::expect(directory, arguments);
    let ca = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=Mail CA",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    run(&[&ca[..], &key].concat());
    let request = [
        "req",
        "-new",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ];
    run(&[&request[..], &key].concat());
    std::fs::write(
        directory.join("extensions"),
        "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    run(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "extensions",
        "-out",
        "server.pem",
    ]);
}
