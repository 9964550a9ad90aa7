//! The object store, where there is one: whether it answers and lets this server do what it has to, and
//! what it checks.

use std::sync::mpsc;

use sluice_io::{
    reactor::executor::Executors,
    s3::{Abilities, Client, Credentials, ErrorKind, S3Error, probe},
};

use crate::{
    config::{self, Config},
    doctor::Check,
};

const REACHED: &str = "s3";
const REACHED_NEEDED: &str = "bucket there; put, read, delete, multipart and its lists allowed";
const SUMS: &str = "s3 checksums";
const SUMS_NEEDED: &str = "CRC64NVME of whole objects, or CRC32C of parts";
const PARTS: &str = "s3 parts";
const PARTS_NEEDED: &str = "parts of any lengths";
const LIFECYCLE: &str = "s3 lifecycle";
const LIFECYCLE_NEEDED: &str = "a rule that aborts incomplete multipart uploads, after some days";

/// Connections to look by.
const CONNECTIONS: u32 = 2;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let Some(settings) = &config.s3 else { return Vec::new() };
    let bucket = format!("s3://{}", settings.bucket);
    match look(settings, config.cpus[0]) {
        Ok(abilities) => of_abilities(&bucket, abilities),
        Err(problem) => vec![
            Check::ok(REACHED, format!("{bucket}: {problem}"), REACHED_NEEDED)
                .fail("start it, make the bucket, or set s3.endpoint, s3.region and its keys"),
        ],
    }
}

fn of_abilities(bucket: &str, abilities: Abilities) -> Vec<Check> {
    let reached = Check::ok(REACHED, format!("{bucket} does all of it"), REACHED_NEEDED);
    let sums = match (abilities.crc64nvme_whole, abilities.crc32c_parts, abilities.md5_parts) {
        (true, ..) => Check::ok(SUMS, "CRC64NVME of whole objects", SUMS_NEEDED),
        (false, true, _) => Check::ok(SUMS, "CRC32C of parts", SUMS_NEEDED),
        (false, false, by_md5) => {
            let found = if by_md5 { "MD5 of parts alone" } else { "none" };
            Check::ok(SUMS, found, SUMS_NEEDED)
                .warn("a newer version of the store: until then sizes alone are looked at")
        }
    };
    let parts = match abilities.unequal_parts {
        true => Check::ok(PARTS, "parts of any lengths", PARTS_NEEDED),
        false => Check::ok(PARTS, "parts of equal lengths alone", PARTS_NEEDED)
            .warn("declare sizes: limits tell how long an upload without one can be"),
    };
    // Whether there is one takes a right of its own to ask.
    let lifecycle = Check::ok(LIFECYCLE, "not looked at", LIFECYCLE_NEEDED);
    vec![reached, sums, parts, lifecycle]
}

/// On an executor of its own.
fn look(settings: &config::S3, cpu: usize) -> Result<Abilities, String> {
    let credentials = Credentials::load(settings.credentials.clone());
    let credentials = credentials.map_err(|error| error.to_string())?;
    let settings = settings.clone();
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[cpu], move |_, pacer| {
        let (settings, credentials) = (settings.clone(), credentials.clone());
        let tell = tell.clone();
        async move {
            let _busy = pacer.begin();
            // Who asked waits for it.
            drop(tell.send(try_out(&settings, credentials).await));
        }
    });
    executors.and_then(Executors::join).map_err(|error| error.to_string())?;
    let tried = told.recv().map_err(|error| error.to_string())?;
    tried.map_err(|error: S3Error| error.to_string())
}

async fn try_out(settings: &config::S3, credentials: Credentials) -> Result<Abilities, S3Error> {
    let client = Client::new(settings.client(CONNECTIONS), credentials);
    let bucket = client.bucket(&settings.bucket);
    match bucket.head_bucket().await {
        // What it says to a HEAD has no words; what follows has.
        Err(error) if error.kind == ErrorKind::Denied => {}
        looked => drop(looked?),
    }
    let random = u64::from_be_bytes(crate::serve::random());
    probe(&bucket, &format!(".sluice-probe/doctor/{random:016x}")).await
}
