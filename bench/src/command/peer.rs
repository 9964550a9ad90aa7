//! `sluice-bench peer`, and the program of stock tonic.

use std::error::Error;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use crate::command::{Exit, misread};
use crate::peer::catalog;
use crate::peer::product::{self, Product};
use crate::peer::sink::{self, Keep};
use crate::peer::tonic_server::{self, Tonic};
use crate::peer::{forward, reactor_sink, s3_sink, settings};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Which: tonic-tuned, sink, sink-rotating, sink-glommio, sink-s3, forward,
    /// forward-rotating, tusd, seaweedfs, redis or redis-log.
    kind: String,
    #[command(flatten)]
    place: Place,
    /// The CPU that sink-glommio pins itself to; the others are pinned from outside.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    cpu: usize,
    /// Where products store; the folder must be theirs alone.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Where those that forward send what they take.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct Place {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Prints how it is set, as JSON, and ends.
    #[arg(long)]
    settings: bool,
}

#[derive(Debug, Args)]
pub struct Announced {
    address: SocketAddr,
    url: String,
    #[arg(long)]
    filer: Option<SocketAddr>,
}

/// Serves as tonic does by default, all bytes counted and dropped.
#[derive(Debug, Parser)]
#[command(name = "sluice-bench-tonic-stock", version)]
struct Stock {
    #[command(flatten)]
    place: Place,
}

pub fn run(arguments: &Arguments) -> Exit {
    let Arguments { kind, place, cpu, data_dir, to } = arguments;
    let listen = place.listen;
    start(kind, place, || match kind.as_str() {
        "tonic-tuned" => tonic_server::serve(Tonic::Tuned, listen, listening),
        "sink" => run_sink(listen, Keep::Nothing),
        "sink-rotating" => run_sink(listen, Keep::Message),
        "sink-s3" => run_s3_sink(listen),
        "forward" => run_forward(listen, *to, Keep::Nothing),
        "forward-rotating" => run_forward(listen, *to, Keep::Message),
        "sink-glommio" => Ok(reactor_sink::serve(listen, *cpu, listening)?),
        "tusd" => run_product(Product::Tusd, "bin/tusd", listen, data_dir.as_ref()),
        "seaweedfs" => run_product(Product::SeaweedFs, "bin/weed", listen, data_dir.as_ref()),
        "redis" => run_redis(Product::Redis, listen, data_dir.as_ref()),
        "redis-log" => run_redis(Product::RedisLog, listen, data_dir.as_ref()),
        _ => Err(format!("no peer is called {kind:?} here").into()),
    })
}

/// Runs the program whose words are `arguments`, its name first.
pub fn run_tonic_stock(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match Stock::try_parse_from(arguments) {
        Ok(Stock { place }) => start("tonic-stock", &place, || {
            tonic_server::serve(Tonic::Stock, place.listen, listening)
        }),
        Err(error) => misread(&error),
    }
}

pub fn announce(arguments: &Announced) -> Exit {
    tell(product::announce(arguments.address, &arguments.url, arguments.filer).map_err(Into::into))
}

fn start(kind: &str, place: &Place, serve: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Exit {
    let settings = settings::of_server(kind);
    let shown = serde_json::to_string(&settings).expect("text keys and values are JSON");
    if place.settings {
        println!("{shown}");
        return Exit::Done;
    }
    eprintln!("{kind}: {shown}");
    tell(serve())
}

fn tell(ended: Result<(), Box<dyn Error>>) -> Exit {
    match ended {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            Exit::Failed
        }
    }
}

fn listening(address: SocketAddr) {
    println!("listening {address}");
}

fn run_sink(listen: SocketAddr, keep: Keep) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen)?;
    listening(listener.local_addr()?);
    Ok(sink::serve(&listener, keep)?)
}

fn run_s3_sink(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen)?;
    println!("listening http://{}", listener.local_addr()?);
    Ok(s3_sink::serve(&listener)?)
}

fn run_forward(
    listen: SocketAddr,
    to: Option<SocketAddr>,
    keep: Keep,
) -> Result<(), Box<dyn Error>> {
    let to = to.ok_or("--to is needed")?;
    let listener = TcpListener::bind(listen)?;
    listening(listener.local_addr()?);
    Ok(forward::serve(&listener, to, keep)?)
}

fn run_product(
    product: Product,
    program: &str,
    listen: SocketAddr,
    data_dir: Option<&PathBuf>,
) -> Result<(), Box<dyn Error>> {
    run_program(product, &catalog::tools().join(program), listen, data_dir)
}

fn run_redis(
    product: Product,
    listen: SocketAddr,
    data_dir: Option<&PathBuf>,
) -> Result<(), Box<dyn Error>> {
    run_program(product, Path::new("redis-server"), listen, data_dir)
}

fn run_program(
    product: Product,
    program: &Path,
    listen: SocketAddr,
    data_dir: Option<&PathBuf>,
) -> Result<(), Box<dyn Error>> {
    let data_dir = data_dir.ok_or("--data-dir is needed")?;
    Ok(product::become_one(product, program, listen, data_dir)?)
}
