//! Addresses, taken before anything else begins, so that all shards know all of them.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// A process that was killed is gone before its listening sockets: the kernel takes down the rings
/// that hold them behind its back. So an address that is served is looked at again for a while.
const LOOKS_MAX: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Whoever listens on this machine answers within this.
const ANSWER: Duration = Duration::from_millis(200);

/// Addresses that are bound and not listened on: nobody else gets them, and the shards, which
/// share them (SO_REUSEPORT), can.
pub(super) struct Reserved {
    /// Where all shards listen.
    pub(super) shared: SocketAddr,
    /// Each shard's own.
    pub(super) own: Vec<SocketAddr>,
    _sockets: Vec<Socket>,
}

/// Takes the shared address and an own one for each shard; port 0 takes a free one.
///
/// # Errors
/// The address, and what the system says of it.
pub(super) fn reserve(
    listen: SocketAddr,
    shards: u16,
    port_base: u16,
) -> Result<Reserved, (SocketAddr, io::Error)> {
    let mut sockets = Vec::new();
    let mut take = |address: SocketAddr| {
        let socket = bind(address).map_err(|error| (address, error))?;
        let bound = socket.local_addr().map_err(|error| (address, error))?;
        sockets.push(socket);
        Ok(bound.as_socket().expect("bound as an IP socket"))
    };
    let shared = take(listen)?;
    let mut own = Vec::new();
    for shard in 0..shards {
        let port = if port_base == 0 { 0 } else { port_base.saturating_add(shard) };
        own.push(take(SocketAddr::new(listen.ip(), port))?);
    }
    Ok(Reserved { shared, own, _sockets: sockets })
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    if address.port() != 0 {
        // Another server of the same user would share the address without a word.
        wait_until_unserved(address)?;
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    // Connections of whoever had it before may linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn wait_until_unserved(address: SocketAddr) -> io::Result<()> {
    for _ in 0..LOOKS_MAX {
        match TcpStream::connect_timeout(&address, ANSWER) {
            Ok(_) => {}
            // A full queue is somebody's too.
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(_) => return Ok(()),
        }
        thread::sleep(LOOK_AGAIN);
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_served_already_is_not_shared() {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(reserve(free, 2, 0).unwrap().own.len(), 2);
        let other = std::net::TcpListener::bind(free).unwrap();
        let served = other.local_addr().unwrap();
        let (address, error) = reserve(served, 1, 0).err().unwrap();
        assert_eq!((address, error.kind()), (served, io::ErrorKind::AddrInUse));
    }

    #[test]
    fn connections_that_linger_keep_no_address() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let served = other.local_addr().unwrap();
        let client = TcpStream::connect(served).unwrap();
        // Who closes first has the connection linger.
        drop((other.accept().unwrap(), other));
        drop(client);
        assert_eq!(reserve(served, 1, 0).unwrap().shared, served);
    }

    #[test]
    fn an_address_that_is_let_go_of_is_waited_for() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let served = other.local_addr().unwrap();
        let lets_go = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(other);
        });
        assert_eq!(reserve(served, 1, 0).unwrap().shared, served);
        lets_go.join().unwrap();
    }
}
