//! A TCP sink on the runtime that Sluice runs on: what that costs before any HTTP/2.

use std::future::poll_fn;
use std::net::SocketAddr;

use sluice_io::reactor::executor::{ExecutorError, Executors};
use sluice_io::reactor::net::{Listener, Stream};
use sluice_io::reactor::pacer::PacerHandle;
use sluice_io::reactor::task;

use crate::peer::count::Count;
use crate::peer::settings::SINK_BUFFER_BYTES;

/// Serves for ever on one executor, pinned to `cpu`; calls `tell` once it accepts.
///
/// # Errors
/// When the executor can't be had here.
pub fn serve(listen: SocketAddr, cpu: usize, tell: fn(SocketAddr)) -> Result<(), ExecutorError> {
    let run = move |_, pacer| async move {
        if let Err(error) = accept(listen, pacer, tell).await {
            eprintln!("sink: {error}");
        }
    };
    Executors::spawn(&[cpu], run)?.join()
}

async fn accept(
    listen: SocketAddr,
    pacer: PacerHandle,
    tell: fn(SocketAddr),
) -> std::io::Result<()> {
    let mut listener = Listener::bind(listen)?;
    tell(listener.local_addr()?);
    loop {
        let stream = listener.accept().await?;
        let working = pacer.begin();
        // The handle lets go of the task, which goes on.
        drop(task::spawn_local(async move {
            if let Err(error) = count(stream).await {
                eprintln!("sink: a connection ended: {error}");
            }
            drop(working);
        }));
    }
}

async fn count(mut stream: Stream) -> std::io::Result<()> {
    let mut buffer = vec![1; SINK_BUFFER_BYTES];
    let mut count = Count::default();
    let mut answers = Vec::new();
    loop {
        let lacks = usize::try_from(count.lacks()).unwrap_or(usize::MAX);
        stream.set_receive_low_water(lacks.min(SINK_BUFFER_BYTES))?;
        let received = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        if received == 0 {
            return Ok(());
        }
        count.take(&buffer[..received], |answer| answers.extend(answer));
        write_all(&mut stream, &answers).await?;
        answers.clear();
        task::yield_if_needed().await;
    }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::OnceLock;
    use std::thread;

    use super::*;

    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

    #[test]
    fn it_answers_the_total_after_each_message() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        thread::spawn(move || serve(listen, 0, |address| ADDRESS.set(address).unwrap()).unwrap());
        let mut stream = TcpStream::connect(ADDRESS.wait()).unwrap();
        let mut total = 0;
        for length in [3, 0, 4_000_000, 1 << 20] {
            stream.write_all(&(length as u64).to_be_bytes()).unwrap();
            stream.write_all(&vec![1; length]).unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            total += length as u64;
            assert_eq!(u64::from_be_bytes(answer), total);
        }
    }
}
