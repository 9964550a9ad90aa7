//! The least that taking bytes in and sending them on can cost: blocking threads, a socket on each
//! side, and no look at what passes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::peer::count::HEADER_BYTES;
use crate::peer::settings::SINK_BUFFER_BYTES;
use crate::peer::sink::{Keep, Rotation, message_bytes, touched};

/// What comes back are answers of a sink, which are small.
const ANSWERS_BYTES: usize = 4 << 10;

/// Accepts for ever, two threads a connection, each of which has one to `to`.
///
/// # Errors
/// When the listener breaks.
pub fn serve(listener: &TcpListener, to: SocketAddr, keep: Keep) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        thread::Builder::new().name("connection".into()).spawn(move || {
            if let Err(error) = both_ways(stream, to, keep) {
                eprintln!("forward: a connection ended: {error}");
            }
        })?;
    }
    Ok(())
}

fn both_ways(from: TcpStream, to: SocketAddr, keep: Keep) -> io::Result<()> {
    let to = TcpStream::connect(to)?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    thread::scope(|scope| {
        let back = thread::Builder::new().name("answers".into());
        back.spawn_scoped(scope, || pass(&to, &from, vec![0; ANSWERS_BYTES]))?;
        match keep {
            Keep::Nothing => pass(&from, &to, touched(SINK_BUFFER_BYTES)),
            Keep::Message => hold(&from, &to),
        }
    })
}

/// Sends on what comes, as it comes.
fn pass(mut from: &TcpStream, mut to: &TcpStream, mut buffer: Vec<u8>) -> io::Result<()> {
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return to.shutdown(Shutdown::Write),
            Ok(received) => to.write_all(&buffer[..received])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Has each message whole before it sends it on.
fn hold(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffers = Rotation::default();
    loop {
        let mut header = [0; HEADER_BYTES];
        match from.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return to.shutdown(Shutdown::Write);
            }
            read => read?,
        }
        let message = buffers.next(message_bytes(header)?);
        from.read_exact(message)?;
        to.write_all(&header)?;
        to.write_all(message)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::sink;

    #[test]
    fn a_sink_behind_it_has_all_that_came() {
        for keep in [Keep::Nothing, Keep::Message] {
            let sink = TcpListener::bind("127.0.0.1:0").unwrap();
            let to = sink.local_addr().unwrap();
            thread::spawn(move || sink::serve(&sink, Keep::Nothing));
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            thread::spawn(move || serve(&listener, to, keep));
            let totals = [1, 5_000_000, 0].map(|length: usize| {
                stream.write_all(&(length as u64).to_be_bytes()).unwrap();
                stream.write_all(&vec![1; length]).unwrap();
                let mut answer = [0; HEADER_BYTES];
                stream.read_exact(&mut answer).unwrap();
                u64::from_be_bytes(answer)
            });
            assert_eq!(totals, [1, 5_000_001, 5_000_001], "{keep:?}");
        }
    }
}
