//! A client for HTTP/1.1 on one kept connection: as little work as possible, so that a load generator measures the server.
//!
//! It knows what the servers of a bench answer (a length, chunks, or nothing) and refuses everything else. Not for anything
//! but measuring.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longest silence of a server before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes that one read asks for.
const READ_BYTES: usize = 256 << 10;

/// Where requests go: `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `host:port`.
    pub authority: String,
    /// The path, with its first slash.
    pub path: String,
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
    /// A whole POST request. `headers` are lines that end with CR LF.
    #[must_use]
    pub fn post(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let mut request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// One connection, used again for each request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What is read and not used yet.
    at: usize,
    end: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(url: &Url) -> Result<Self> {
        let stream =
            TcpStream::connect(&url.authority).with_context(|| format!("cannot connect to {}", url.authority))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: vec![0; READ_BYTES],
            at: 0,
            end: 0,
        })
    }

    /// Sends a whole request and reads the whole answer: the status. `on_body` gets the content piece by piece.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is not one that this client knows.
    pub fn call(&mut self, request: &[u8], mut on_body: impl FnMut(&[u8]) -> Result<()>) -> Result<u16> {
        self.stream.write_all(request).context("cannot send a request")?;
        let head = self.head()?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .context("the answer does not begin as HTTP/1.1")?;
        let header = |name: &str| {
            let found = head
                .split("\r\n")
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.trim())
        };
        if let Some(length) = header("content-length") {
            self.body(length.parse().context("a length that is no number")?, &mut on_body)?;
        } else if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let line = self.line()?;
                let length =
                    usize::from_str_radix(line.trim(), 16).with_context(|| format!("`{line}` is no chunk length"))?;
                self.body(length, &mut on_body)?;
                let end = self.line()?;
                ensure!(end.is_empty(), "a chunk is longer than it says");
                if length == 0 {
                    break;
                }
            }
        } else if status != 204 {
            bail!("an answer {status} without a length");
        }
        Ok(status)
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

    fn call(answer: &'static [u8]) -> Result<(u16, Vec<u8>)> {
        let url = served(answer);
        let mut body = Vec::new();
        let status = Connection::open(&url)?.call(&url.post("", b"ping"), |piece| {
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((status, body))
    }

    #[test]
    fn lengths_chunks_and_nothing_are_understood() {
        let answer = call(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\nwrong").expect("an answer");
        assert_eq!(answer, (400, b"wrong".to_vec()));
        let answer =
            call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");
        assert_eq!(answer.expect("an answer"), (200, b"abc0123456789".to_vec()));
        assert_eq!(
            call(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer"),
            (204, Vec::new())
        );
    }

    #[test]
    fn a_body_that_breaks_off_is_an_error() {
        assert!(call(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").is_err());
        assert!(call(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").is_err());
    }

    #[test]
    fn a_url_has_a_port_and_perhaps_a_path() {
        let url: Url = "http://127.0.0.1:9201/api/v1/write".parse().expect("a URL");
        assert_eq!(
            (url.authority.as_str(), url.path.as_str()),
            ("127.0.0.1:9201", "/api/v1/write")
        );
        assert!("http://localhost/x".parse::<Url>().is_err());
        assert!("https://localhost:1/x".parse::<Url>().is_err());
    }
}
