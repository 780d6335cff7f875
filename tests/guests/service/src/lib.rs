//! A service of wasi:http that behaves as the path of a request says: well, or in each of the ways in which one can fail.

use std::io::{Read, Write};
use std::time::Duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::*;

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/hello" => say(out, 200, "hello from a component\n"),
            "/head" => head(&request, out),
            "/echo" => echo(&request, out),
            "/stream" => stream(out, query.parse().unwrap_or(1)),
            "/print" => print(out, query),
            "/ask" => ask(out, query),
            "/wait" => {
                std::thread::sleep(Duration::from_millis(query.parse().unwrap_or(0)));
                say(out, 200, "waited\n");
            }
            "/time" => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
                say(out, 200, &format!("{}\n", now.as_secs()));
            }
            "/empty" => {
                let response = OutgoingResponse::new(Fields::new());
                response.set_status_code(204).unwrap();
                ResponseOutparam::set(out, Ok(response));
            }
            "/files" => say(out, 200, &format!("{:?} {:?}\n", std::fs::read_dir("/").is_err(), std::env::vars().count())),
            "/trap" => panic!("as told"),
            "/exit" => std::process::exit(3),
            "/spin" => spin(),
            "/eat" => eat(),
            "/nothing" => {}
            "/error" => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("as told".to_owned())))),
            "/break" => break_off(out),
            "/short" => short(out),
            _ => say(out, 404, "no such way to behave\n"),
        }
    }
}

fn say(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]).unwrap());
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body.write().unwrap().blocking_write_and_flush(text.as_bytes()).unwrap();
    OutgoingBody::finish(body, None).unwrap();
}

/// What it sees of the request.
fn head(request: &IncomingRequest, out: ResponseOutparam) {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.method(),
        request.scheme(),
        request.authority(),
        request.path_with_query()
    );
    for (name, value) in request.headers().entries() {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    say(out, 200, &text);
}

/// The request's body, piece by piece, with its trailers.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().unwrap();
    let response = OutgoingResponse::new(Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).unwrap());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    {
        let mut from = incoming.stream().unwrap();
        let mut to = body.write().unwrap();
        let mut piece = vec![0; 16 << 10];
        loop {
            match Read::read(&mut from, &mut piece) {
                Ok(0) => break,
                Ok(length) => to.write_all(&piece[..length]).unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        Write::flush(&mut to).unwrap();
    }
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().unwrap().unwrap().unwrap();
    let trailers = trailers.map(|fields| Fields::from_list(&fields.entries()).unwrap());
    OutgoingBody::finish(body, trailers).unwrap();
}

/// So many MiB, with a trailer.
fn stream(out: ResponseOutparam, count: usize) {
    let response = OutgoingResponse::new(Fields::from_list(&[("trailer".to_owned(), b"x-count".to_vec())]).unwrap());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let mut to = body.write().unwrap();
    let piece = [b'x'; 1 << 16];
    for _ in 0..count * 16 {
        to.write_all(&piece).unwrap();
    }
    Write::flush(&mut to).unwrap();
    drop(to);
    let trailers = Fields::from_list(&[("x-count".to_owned(), count.to_string().into_bytes())]).unwrap();
    OutgoingBody::finish(body, Some(trailers)).unwrap();
}

fn print(out: ResponseOutparam, what: &str) {
    println!("out: {what}");
    eprint!("err: {what}, without an end");
    say(out, 200, "printed\n");
}

/// Asks `http://<query>`, and says what it is told.
fn ask(out: ResponseOutparam, url: &str) {
    let (authority, path) = url.split_once('/').unwrap_or((url, ""));
    let request = OutgoingRequest::new(Fields::from_list(&[("x-asked-by".to_owned(), b"service".to_vec())]).unwrap());
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    let answer = match outgoing_handler::handle(request, None) {
        Ok(answer) => answer,
        Err(error) => return say(out, 200, &format!("refused {error:?}\n")),
    };
    answer.subscribe().block();
    match answer.get().unwrap().unwrap() {
        Err(error) => say(out, 200, &format!("failed {error:?}\n")),
        Ok(answer) => {
            let body = answer.consume().unwrap();
            let mut text = String::new();
            body.stream().unwrap().read_to_string(&mut text).unwrap();
            say(out, 200, &format!("told {}: {text}\n", answer.status()));
        }
    }
}

fn spin() {
    let mut n = 1u64;
    while n != 0 {
        n = std::hint::black_box(n.wrapping_mul(3) | 1);
    }
}

fn eat() {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&all);
    }
}

/// Half an answer, then a trap.
fn break_off(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body.write().unwrap().blocking_write_and_flush(b"half of it").unwrap();
    panic!("as told");
}

/// Less than its length says.
fn short(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::from_list(&[("content-length".to_owned(), b"100".to_vec())]).unwrap());
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body.write().unwrap().blocking_write_and_flush(b"not a hundred").unwrap();
    let _ = OutgoingBody::finish(body, None);
}
