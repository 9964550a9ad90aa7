//! Redis, where a layer uses it: whether it answers, and whether it may be trusted with uploads.

use std::sync::mpsc;

use sluice_io::{
    reactor::executor::Executors,
    redis::{Client, Settings},
};

use crate::{
    config::{Config, Durability},
    doctor::Check,
    store::redis::fitness::{self, CheckError},
};

const NAME: &str = "redis";
const NEEDED: &str = "7.0 or newer, noeviction, and what durability promises";

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let Some(redis) = &config.redis else { return Vec::new() };
    let url = format!("{:?}", redis.url);
    // Nobody's name: looking takes no lease.
    let check = match look(redis.client(0), config.layers.durability, config.cpus[0]) {
        Ok(Some(bytes)) => Check::ok(NAME, format!("{url}: maxmemory {bytes} bytes"), NEEDED),
        Ok(None) => Check::ok(NAME, format!("{url}: no maxmemory"), NEEDED)
            .warn("set maxmemory: nothing pushes back before the system kills Redis"),
        Err(CheckError::Unfit(unfit)) => {
            Check::ok(NAME, unfit.to_string(), NEEDED).fail("change its settings as it says")
        }
        Err(CheckError::Redis(error)) => Check::ok(NAME, format!("{url}: {error}"), NEEDED)
            .fail("start it, or set redis.url, redis.user and redis.password"),
    };
    vec![check]
}

/// On an executor of its own.
fn look(settings: Settings, durability: Durability, cpu: usize) -> Result<Option<u64>, CheckError> {
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[cpu], move |_, pacer| {
        let (client, tell) = (settings.clone(), tell.clone());
        async move {
            let _busy = pacer.begin();
            let client = Client::new(client);
            let looked = async {
                client.connect().await?;
                fitness::check(&client, durability).await
            };
            // Who asked waits for it.
            drop(tell.send(looked.await));
        }
    });
    let unable = |error: &dyn ToString| CheckError::unable(error.to_string());
    executors.and_then(Executors::join).map_err(|error| unable(&error))?;
    told.recv().map_err(|error| unable(&error))?
}
