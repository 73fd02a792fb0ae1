//! Problem documents for what the HTTP library refuses by itself.
//!
//! A head that is too long, or that is no HTTP at all, never becomes a request: hyper answers it with
//! a bare status and ends the connection. Here such an answer becomes a problem document on its way
//! out, whatever the size of the flood. A client that is still writing then sees the answer and not
//! a reset: the connection is read a little longer, into nothing.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use clm_api::problem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{HEADER_FIELDS_BYTES_MAX, HEADERS_MAX};

/// How long what a refused client still writes is read.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of it is read, in bytes.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How much is read at once, in bytes.
const LINGER_BUFFER_BYTES: usize = 16 * 1024;

/// A connection below hyper.
pub(super) struct Refusals<I> {
    io: I,
    answer: Answer,
}

/// How far the answer to what is no request has come.
enum Answer {
    /// Everything so far was a request.
    NotNeeded,
    /// It is being written in place of the `replaced` bytes of hyper.
    Writing {
        document: Vec<u8>,
        written: usize,
        replaced: usize,
    },
    /// It was written.
    Written,
    /// It was written, and nothing more will be.
    Lingering { read: usize, until: Pin<Box<Sleep>> },
}

impl<I> Refusals<I> {
    pub(super) const fn new(io: I) -> Self {
        Self {
            io,
            answer: Answer::NotNeeded,
        }
    }
}

/// The document for an answer of hyper's own: one of its statuses, and no body. The answers of ours
/// with these statuses have one.
fn document(written: &[u8]) -> Option<Vec<u8>> {
    let head = written
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| written.strip_prefix(b"HTTP/1.0 "))?;
    let digits = std::str::from_utf8(head.get(..3)?).ok()?;
    let status = StatusCode::from_bytes(digits.as_bytes()).ok()?;
    let (code, field, detail) = match status {
        StatusCode::BAD_REQUEST => {
            let detail = "This is not an HTTP request that can be read. Check the request line and \
                          the header fields.";
            ("malformed_request", "request", detail.to_owned())
        }
        StatusCode::URI_TOO_LONG => {
            let detail = "The request target is too long.";
            ("uri_too_long", "uri", detail.to_owned())
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail = format!(
                "The request has more than {HEADERS_MAX} header fields, or more than \
                 {HEADER_FIELDS_BYTES_MAX} bytes of them. Send fewer and shorter ones."
            );
            ("headers_too_large", "headers", detail)
        }
        _ => return None,
    };
    let fields = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?;
    let is_bare = fields
        .split("\r\n")
        .any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    if !is_bare {
        return None;
    }
    let body = problem::of_status(status, code, &detail)
        .with_field(field, &detail)
        .to_body();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n",
        problem::MEDIA_TYPE,
        body.len()
    );
    Some([head.into_bytes(), body].concat())
}

impl<I: AsyncRead + Unpin> Refusals<I> {
    /// Reads and drops what the refused client still writes, until it ends, for a while.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.answer, Answer::Written) {
            let until = Instant::now() + LINGER_TIMEOUT;
            self.answer = Answer::Lingering {
                read: 0,
                until: Box::pin(tokio::time::sleep_until(until)),
            };
        }
        let Answer::Lingering { read, until } = &mut self.answer else {
            return Poll::Ready(());
        };
        while *read < LINGER_BYTES_MAX && until.as_mut().poll(context).is_pending() {
            let mut space = [0; LINGER_BUFFER_BYTES];
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *read = read.saturating_add(buffer.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusals<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if matches!(this.answer, Answer::NotNeeded)
            && let Some(document) = document(bytes)
        {
            tracing::debug!("what came on a connection is no request, or a flood");
            this.answer = Answer::Writing {
                document,
                written: 0,
                replaced: bytes.len(),
            };
        }
        let Answer::Writing {
            document,
            written,
            replaced,
        } = &mut this.answer
        else {
            return Pin::new(&mut this.io).poll_write(context, bytes);
        };
        while let Some(rest) = document.get(*written..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut this.io).poll_write(context, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written = written.saturating_add(count);
        }
        let replaced = *replaced;
        this.answer = Answer::Written;
        Poll::Ready(Ok(replaced))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A bare answer is one slice; ours have a body beside their head.
        let is_writing = matches!(self.answer, Answer::Writing { .. });
        match slices {
            [first, ..] if is_writing => self.poll_write(context, first),
            [only] => self.poll_write(context, only),
            more => Pin::new(&mut self.get_mut().io).poll_write_vectored(context, more),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !matches!(this.answer, Answer::Lingering { .. }) {
            ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        }
        ready!(this.poll_linger(context));
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Refusals<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}
