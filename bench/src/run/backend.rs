//! What stands behind a server: started for one repeat, before the server, which is told of it.

use std::fs;

use crate::peer::settings;
use crate::run::Ended;
use crate::run::child::Program;
use crate::run::layout::Start;
use crate::run::repeat::Given;
use crate::run::server::Server;
use crate::suite::Backend;

/// Starts it on the clients' CPUs, and tells the server where it is.
///
/// # Errors
/// When it can't be had, or doesn't serve.
pub fn start(given: &Given<'_>, start: &mut Start) -> Result<Option<Server>, Ended> {
    let Some(backend) = given.run.server.backend else { return Ok(None) };
    let folder = given.folder.join("backend");
    fs::create_dir_all(&folder)?;
    let program = given.layout.backend(backend, &folder).map_err(Ended::failed)?;
    let log = given.folder.join("backend.log");
    let cpus = &given.layout.client_cpus;
    let running = Server::start(&program, cpus, false, &log, given.interrupt)?;
    if let Some(server) = &mut start.server {
        tell(server, backend, running.address());
    }
    Ok(Some(running))
}

/// In the server's own words.
fn tell(server: &mut Program, backend: Backend, address: &str) {
    let mut set = |key: &str, value: &str| server.environment.push((key.into(), value.into()));
    match backend {
        Backend::Redis | Backend::RedisLog => {
            set("SLUICE_REDIS__URL", &format!("redis://{address}"));
        }
        Backend::SinkS3 | Backend::Seaweedfs => {
            let access = settings::s3_access();
            set("SLUICE_S3__ENDPOINT", address);
            set("SLUICE_S3__BUCKET", &access["bucket"]);
            set("SLUICE_S3__ACCESS_KEY_ID", &access["access_key"]);
            set("SLUICE_S3__SECRET_ACCESS_KEY", &access["secret_key"]);
        }
        Backend::Sink => server.command.extend(["--to".into(), address.into()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_told_in_its_own_words() {
        let mut server = Program::default();
        tell(&mut server, Backend::Redis, "1.2.3.4:5");
        tell(&mut server, Backend::SinkS3, "http://1.2.3.4:6");
        tell(&mut server, Backend::Sink, "1.2.3.4:7");
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(server.environment[0], set("SLUICE_REDIS__URL", "redis://1.2.3.4:5"));
        assert_eq!(server.environment[1], set("SLUICE_S3__ENDPOINT", "http://1.2.3.4:6"));
        assert_eq!(server.environment[2], set("SLUICE_S3__BUCKET", "bench"));
        assert_eq!(server.command, ["--to", "1.2.3.4:7"]);
    }
}
