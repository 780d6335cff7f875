//! A service for any host of `wasi:http/proxy`: greets, and counts the words of what it is sent, however long it is.

use std::io::Read;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Service;

wasip2::http::proxy::export!(Service);

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match (request.method(), path.split('?').next().unwrap_or_default()) {
            (Method::Get, "/") => answer(out, 200, "a service inside the proxy; POST a text to /words\n"),
            (Method::Post, "/words") => match words(&request) {
                Ok(count) => answer(out, 200, &format!("{count} words\n")),
                Err(error) => answer(out, 400, &format!("the text ended early: {error}\n")),
            },
            _ => answer(out, 404, "nothing here\n"),
        }
    }
}

/// Piece by piece: the text need not fit into memory.
fn words(request: &IncomingRequest) -> std::io::Result<u64> {
    let body = request.consume().map_err(|()| std::io::Error::other("taken already"))?;
    let mut stream = body.stream().map_err(|()| std::io::Error::other("taken already"))?;
    let (mut count, mut within, mut piece) = (0, false, [0; 16 << 10]);
    loop {
        let length = Read::read(&mut stream, &mut piece)?;
        if length == 0 {
            return Ok(count);
        }
        for byte in &piece[..length] {
            let letter = !byte.is_ascii_whitespace();
            count += u64::from(letter && !within);
            within = letter;
        }
    }
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let fields = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
    let response = OutgoingResponse::new(Fields::from_list(&fields).expect("fields that may be set"));
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("asked for once");
    ResponseOutparam::set(out, Ok(response));
    if let Ok(stream) = body.write() {
        // The client may be gone.
        let _ = stream.blocking_write_and_flush(text.as_bytes());
    }
    let _ = OutgoingBody::finish(body, None);
}
