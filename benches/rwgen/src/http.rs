//! A client for HTTP/1.1 on one kept connection: as little work as possible, so that a load generator measures the server.
//!
//! It knows what the servers of a bench answer (a length, chunks, or nothing) and refuses everything else. Not for anything
//! but measuring.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};

/// Longest silence of a server before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where requests go: `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    authority: String,
    path: String,
}

impl FromStr for Url {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let rest = text
            .strip_prefix("http://")
            .context("only `http://host:port/path` is understood")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(authority.contains(':'), "`{text}` has no port");
        Ok(Self {
            authority: authority.to_owned(),
            path: format!("/{path}"),
        })
    }
}

impl Url {
    /// The head of a POST request up to the number of its length. `headers` are lines that end with CR LF.
    pub(crate) fn head(&self, headers: &str) -> String {
        format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: ",
            self.path, self.authority
        )
    }

    /// A whole POST request.
    pub(crate) fn post(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let mut request = self.head(headers).into_bytes();
        request.extend_from_slice(format!("{}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        request
    }
}

/// What is known of an answer before its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
}

/// One connection, used again for each request.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What is read and not used yet.
    at: usize,
    end: usize,
}

impl Connection {
    /// Connects; `buffer_bytes` is what one read asks for.
    pub(crate) fn open(url: &Url, buffer_bytes: usize) -> Result<Self> {
        let stream =
            TcpStream::connect(&url.authority).with_context(|| format!("cannot connect to {}", url.authority))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: vec![0; buffer_bytes],
            at: 0,
            end: 0,
        })
    }

    /// Sends a whole request and reads the whole answer. `on_body` gets the status, and the content piece by piece.
    pub(crate) fn call(&mut self, request: &[u8], on_body: impl FnMut(u16, &[u8]) -> Result<()>) -> Result<Answer> {
        let sent = self.stream.write_all(request);
        self.answer_to(sent, on_body)
    }

    /// The same with a body of `length` bytes that lies in a file: the kernel sends the pages of its cache, for a copy of
    /// every body would be most of what a load generator costs.
    pub(crate) fn call_with_file(
        &mut self,
        head: &[u8],
        (file, offset, length): (&File, u64, usize),
        on_body: impl FnMut(u16, &[u8]) -> Result<()>,
    ) -> Result<Answer> {
        let sent = self.send_file(head, file, offset, length);
        self.answer_to(sent, on_body)
    }

    fn send_file(&self, mut head: &[u8], file: &File, mut offset: u64, mut length: usize) -> io::Result<()> {
        while !head.is_empty() {
            // The head waits for the body: one packet less, and one wake-up less for the server.
            match send(&self.stream, head, SendFlags::MORE) {
                Ok(sent) => head = &head[sent..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        while length > 0 {
            match sendfile(&self.stream, file, Some(&mut offset), length) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(sent) => length -= sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn answer_to(&mut self, sent: io::Result<()>, mut on_body: impl FnMut(u16, &[u8]) -> Result<()>) -> Result<Answer> {
        let answer = self.answer(&mut on_body);
        match sent {
            Ok(()) => answer,
            // A server that refuses may answer and close before it has read everything.
            Err(error) => answer.map_err(|_| anyhow::Error::new(error).context("cannot send a request")),
        }
    }

    fn answer(&mut self, on_body: &mut impl FnMut(u16, &[u8]) -> Result<()>) -> Result<Answer> {
        let head = self.head()?;
        let status: u16 = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .context("the answer does not begin as HTTP/1.1")?;
        let (mut length, mut is_chunked, mut retry_after) = (None, false, None);
        for (name, value) in head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().context("a length that is no number")?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("retry-after") {
                retry_after = value.parse().ok().map(Duration::from_secs);
            }
        }
        let mut on_body = |piece: &[u8]| on_body(status, piece);
        if let Some(length) = length {
            self.body(length, &mut on_body)?;
        } else if is_chunked {
            loop {
                let line = self.line()?;
                let length =
                    usize::from_str_radix(line.trim(), 16).with_context(|| format!("`{line}` is no chunk length"))?;
                self.body(length, &mut on_body)?;
                ensure!(self.line()?.is_empty(), "a chunk is longer than it says");
                if length == 0 {
                    break;
                }
            }
        } else if status != 204 {
            bail!("an answer {status} without a length");
        }
        Ok(Answer { status, retry_after })
    }

    /// Everything up to the empty line.
    fn head(&mut self) -> Result<String> {
        let mut head = String::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            head.push_str(&line);
            head.push_str("\r\n");
            ensure!(head.len() <= HEAD_BYTES_MAX, "the head of an answer is too long");
        }
    }

    /// A line without its end.
    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            let waiting = &self.buffer[self.at..self.end];
            if let Some(found) = waiting.iter().position(|&byte| byte == b'\n') {
                line.extend_from_slice(&waiting[..found]);
                self.at += found + 1;
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return String::from_utf8(line).context("the head of an answer is no text");
            }
            line.extend_from_slice(waiting);
            ensure!(line.len() <= HEAD_BYTES_MAX, "the head of an answer is too long");
            self.fill()?;
        }
    }

    fn body(&mut self, mut length: usize, on_body: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while length > 0 {
            if self.at == self.end {
                self.fill()?;
            }
            let piece = &self.buffer[self.at..self.end.min(self.at + length)];
            on_body(piece)?;
            length -= piece.len();
            self.at += piece.len();
        }
        Ok(())
    }

    /// Reads on; everything before must be used.
    fn fill(&mut self) -> Result<()> {
        self.at = 0;
        self.end = 0;
        self.end = self.stream.read(&mut self.buffer).context("cannot read an answer")?;
        ensure!(self.end > 0, "the connection was closed inside an answer");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request of four body bytes with `answer`, in pieces of three bytes.
    fn served(answer: &'static [u8]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut seen = Vec::new();
            while !seen.ends_with(b"ping") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                seen.push(byte[0]);
            }
            for piece in answer.chunks(3) {
                stream.write_all(piece).expect("a reader");
            }
        });
        format!("http://{address}/a/b").parse().expect("a URL")
    }

    fn call(answer: &'static [u8]) -> Result<(Answer, Vec<u8>)> {
        let url = served(answer);
        let mut body = Vec::new();
        let answer = Connection::open(&url, 64)?.call(&url.post("", b"ping"), |_, piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((answer, body))
    }

    fn plain(status: u16) -> Answer {
        Answer {
            status,
            retry_after: None,
        }
    }

    #[test]
    fn lengths_chunks_and_nothing_are_understood() {
        let answer = call(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nwrong").expect("an answer");
        assert_eq!(answer, (plain(400), b"wrong".to_vec()));
        let answer =
            call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(answer.expect("an answer"), (plain(200), b"abc0123456789".to_vec()));
        assert_eq!(
            call(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer"),
            (plain(204), Vec::new())
        );
        let busy = call(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").expect("an answer");
        assert_eq!(busy.0.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        assert!(call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").is_err());
        assert!(call(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").is_err());
    }

    #[test]
    fn a_url_has_a_port_and_perhaps_a_path() {
        let url: Url = "http://127.0.0.1:9201/api/v1/write".parse().expect("a URL");
        assert!(
            url.head("A: b\r\n")
                .starts_with("POST /api/v1/write HTTP/1.1\r\nHost: 127.0.0.1:9201\r\nA: b\r\n")
        );
        assert!("http://localhost/x".parse::<Url>().is_err());
        assert!("https://localhost:1/x".parse::<Url>().is_err());
    }
}
