//! A server for tests: HTTP/1.1 with a handler that decides, on a port of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::http::Url;

/// One request.
pub(super) struct Call {
    /// Number of the connection, from 0.
    pub(super) connection: usize,
    pub(super) path: String,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

/// What is answered.
pub(super) enum Reply {
    Answer(u16, Vec<u8>),
    /// The connection is closed without an answer.
    HangUp,
}

/// The address of a new server.
pub(super) fn serve(handler: impl FnMut(Call) -> Reply + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let handler = Arc::new(Mutex::new(handler));
    // It ends with the process.
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().flatten().enumerate() {
            let handler = Arc::clone(&handler);
            std::thread::spawn(move || while answer(connection, &stream, &handler).is_some() {});
        }
    });
    format!("http://{address}/api").parse().expect("a URL")
}

fn answer<H: FnMut(Call) -> Reply>(connection: usize, mut stream: &TcpStream, handler: &Mutex<H>) -> Option<()> {
    // One request at a time comes, so nothing of the next is lost with the buffer.
    let mut reader = BufReader::new(stream);
    let (mut first, mut headers) = (String::new(), String::new());
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        reader.read_line(&mut headers).ok().filter(|read| *read > 0)?;
    }
    let length = headers.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let call = Call {
        connection,
        path: first.split(' ').nth(1)?.to_owned(),
        headers,
        body,
    };
    // Not held while the answer is written.
    let reply = handler.lock().ok()?(call);
    match reply {
        Reply::Answer(status, body) => {
            let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).ok()
        }
        Reply::HangUp => {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            None
        }
    }
}
