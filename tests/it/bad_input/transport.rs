//! Requests that are too much before anybody looks at what they say: long bodies and many header
//! fields, written to a socket byte by byte, because no client library would send them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use clm_api_types::problem::{MEDIA_TYPE, Problem};
use clm_tests::Program;
use serde_json::json;

use crate::support::{CERTIFICATE_REQUESTS, Requester, fields};

/// Longer than any answer takes, shorter than anybody waits.
const TIMEOUT: Duration = Duration::from_secs(60);
/// One byte more than a body may have.
const BODY_TOO_LONG: usize = clm_domain::limits::REQUEST_BODY_BYTES_MAX + 1;

/// The head of a request, beside what every request has.
pub(super) struct Head<'a> {
    pub(super) path: &'a str,
    pub(super) fields: Vec<(&'a str, &'a str)>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(super) struct RawAnswer {
    status: u16,
    head: String,
    body: String,
}

impl RawAnswer {
    /// It is a problem document with this code about this field.
    pub(super) fn is_problem(&self, what: &str, status: u16, code: &str, field: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        let head = self.head.to_ascii_lowercase();
        assert!(
            head.contains(&format!("content-type: {MEDIA_TYPE}")),
            "{what}: {self:?}"
        );
        let problem: Problem = serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{what}: {error}: {self:?}"));
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{what}: {problem:?}"
        );
        assert_eq!(fields(&problem), [field], "{what}: {problem:?}");
        // A flood, and what is no request, is refused before it gets an id.
        let has_id = problem.request_id.is_some();
        let is_request = status != 431 && code != "malformed_request";
        assert_eq!(has_id, is_request, "{what}: {problem:?}");
    }
}

/// Ten megabytes that mean nothing, the same each time.
pub(super) fn garbage() -> Vec<u8> {
    let mut state = 1_u32;
    (0..10_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

/// Sends a request on a connection of its own and reads the answer. The server may answer, and end
/// the connection, before all is written.
pub(super) fn exchange(
    program: &Program,
    requester: &Requester,
    head: &Head<'_>,
    body: &[u8],
) -> RawAnswer {
    let (name, value) = &requester.credential[0];
    let mut text = format!("{name}: {value}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in &head.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    send(program, head.path, &text, body)
}

fn send(program: &Program, path: &str, head: &str, body: &[u8]) -> RawAnswer {
    let url = program.bootstrap_text("url");
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{head}\r\n");
    // Whoever answers early need not read the rest.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        panic!("no answer ({read:?}): {answer:?}");
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    RawAnswer {
        status: status.unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Bodies that are too long, announced or not.
pub(super) async fn too_much(program: &Program, requester: &Requester) {
    let garbage = garbage();
    let json = |length: usize| {
        let mut body = json!({ "csr": "" }).to_string();
        let filling = "A".repeat(length - body.len());
        body.insert_str(body.len() - 2, &filling);
        body
    };
    let head = |content_type| Head {
        path: CERTIFICATE_REQUESTS,
        fields: vec![("content-type", content_type)],
    };
    let just = json(BODY_TOO_LONG - 1);
    let answer = exchange(
        program,
        requester,
        &head("application/json"),
        just.as_bytes(),
    );
    answer.is_problem("a body of the greatest length", 422, "csr_too_long", "csr");
    let long = json(BODY_TOO_LONG);
    for (what, body) in [
        ("one byte more", long.as_bytes()),
        ("garbage", garbage.as_slice()),
    ] {
        // More than once: an answer that comes while the client still writes is easily lost.
        for _ in 0..5 {
            let answer = exchange(program, requester, &head("application/json"), body);
            answer.is_problem(what, 413, "body_too_large", "body");
        }
        let answer = in_chunks(program, requester, body);
        answer.is_problem(&format!("{what}, in chunks"), 413, "body_too_large", "body");
    }
    let answer = exchange(
        program,
        requester,
        &head("application/octet-stream"),
        &garbage,
    );
    answer.is_problem(
        "garbage of no kind",
        415,
        "unsupported_media_type",
        "content-type",
    );
    by_a_library(program, requester, garbage).await;
}

/// A body whose length nobody announces.
fn in_chunks(program: &Program, requester: &Requester, body: &[u8]) -> RawAnswer {
    let (name, value) = &requester.credential[0];
    let head = format!(
        "{name}: {value}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
    );
    let mut encoded = Vec::with_capacity(body.len() + body.len() / 1_000);
    for chunk in body.chunks(65_536) {
        encoded.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    send(program, CERTIFICATE_REQUESTS, &head, &encoded)
}

/// The same garbage by a client library, which must be able to show the answer too.
async fn by_a_library(program: &Program, requester: &Requester, garbage: Vec<u8>) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
        .unwrap();
    let url = format!("{}{CERTIFICATE_REQUESTS}", program.bootstrap_text("url"));
    let (name, value) = &requester.credential[0];
    for _ in 0..5 {
        let request = client
            .post(&url)
            .header(*name, value)
            .header("content-type", "application/json")
            .body(garbage.clone());
        let response = request.send().await.expect("the client sees the answer");
        assert_eq!(response.status().as_u16(), 413);
        let problem: Problem = response.json().await.unwrap();
        assert_eq!(problem.code, "body_too_large");
    }
}

/// More header fields than any client has reason to send, and longer ones.
pub(super) fn header_floods(program: &Program, requester: &Requester) {
    let body = json!({ "key_algorithm": "ecdsa-p256", "subject": "CN=flood.example" }).to_string();
    for count in [200, 10_000, 100_000] {
        let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
        let mut fields = vec![("content-type", "application/json")];
        fields.extend(names.iter().map(|name| (name.as_str(), "flood")));
        let head = Head {
            path: CERTIFICATE_REQUESTS,
            fields,
        };
        let answer = exchange(program, requester, &head, body.as_bytes());
        answer.is_problem(
            &format!("{count} fields"),
            431,
            "headers_too_large",
            "headers",
        );
    }
    let long = "x".repeat(64 * 1024);
    let head = Head {
        path: CERTIFICATE_REQUESTS,
        fields: vec![("content-type", "application/json"), ("x-long", &long)],
    };
    let answer = exchange(program, requester, &head, body.as_bytes());
    answer.is_problem("a long field", 431, "headers_too_large", "headers");
    // What is beyond any buffer is told as well, and so is what was never HTTP.
    for bytes in [300_000, 1_000_000, 20_000_000] {
        let longer = "x".repeat(bytes);
        let head = Head {
            path: CERTIFICATE_REQUESTS,
            fields: vec![("x-long", &longer)],
        };
        let answer = exchange(program, requester, &head, b"");
        answer.is_problem(
            &format!("{bytes} bytes"),
            431,
            "headers_too_large",
            "headers",
        );
    }
    let answer = send(program, "/ \u{1} nonsense", "", b"");
    answer.is_problem("no HTTP", 400, "malformed_request", "request");
}
