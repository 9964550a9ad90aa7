//! The few figures that are read first. Which runs they are of follows a rule, and is said.

use maud::{Markup, html};

use crate::report::digest::{Cell, Digest, RunDigest, Spread};
use crate::report::number::{short, time, with_unit};
use crate::report::page::{absent, link};
use crate::suite::ServerKind;

/// What ratios are shown at, if the suite has it: what the gates are at.
const CHUNK_BYTES: u64 = 16 << 20;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let mut tiles: Vec<Markup> = Vec::new();
    tiles.extend(most(digest));
    tiles.extend(least_cpu(digest));
    let peers = [ServerKind::TonicTuned, ServerKind::TonicStock, ServerKind::Tusd];
    for kind in peers.into_iter().chain([ServerKind::Seaweedfs]) {
        tiles.extend(against(digest, kind.name(), "gb_per_s", "Throughput"));
    }
    tiles.extend(against(digest, ServerKind::Sink.name(), "server_cpu_s_per_gb", "CPU per GB"));
    tiles.extend(p99(digest));
    tiles.extend(steady(digest));
    if tiles.is_empty() {
        return absent("No run of Sluice counts: there is nothing to say in short.");
    }
    html! {
        div.tiles { @for tile in &tiles { (tile) } }
        p.fine {
            "Rules, not choices: the highest throughput and the lowest CPU of all closed-loop runs \
             of Sluice; ratios are those of the suite's first Sluice run and the peer's first run \
             at 16 MiB chunks under the same load (else at the first load that both have), round \
             by round, with the range over all loads below them."
        }
    }
}

fn tile(name: &Markup, value: &str, unit: &str, detail: &Markup) -> Markup {
    html! {
        div.tile {
            h3 { (name) }
            p.big { (value) " " small { (unit) } }
            p.detail { (detail) }
        }
    }
}

fn closed<'a, 'd>(digest: &'d Digest<'a>, figure: &str) -> Vec<(&'d RunDigest<'a>, Spread)> {
    let sluice = digest.runs.iter().filter(|run| run.is_sluice() && !run.is_open());
    sluice.filter_map(|run| Some((run, run.spread(figure)?))).collect()
}

fn most(digest: &Digest<'_>) -> Option<Markup> {
    let runs = closed(digest, "gb_per_s");
    let (run, spread) = runs.into_iter().max_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let detail = html! {
        (range(spread, "")) (link(run)) @if run.client_bound().is_some() { ", client-bound" }
    };
    Some(tile(&html! { "Most throughput" }, &short(spread.median), "GB/s", &detail))
}

fn least_cpu(digest: &Digest<'_>) -> Option<Markup> {
    let runs = closed(digest, "server_cpu_s_per_gb");
    let some = runs.into_iter().filter(|(_, spread)| spread.median > 0.0);
    let (run, spread) = some.min_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let detail = html! { (range(spread, "")) (link(run)) };
    Some(tile(&html! { "Least server CPU" }, &short(spread.median), "s/GB", &detail))
}

fn range(spread: Spread, unit: &str) -> Markup {
    html! {
        @if spread.count > 1 {
            (short(spread.low)) "–" (short(spread.high)) (unit) " in " (spread.count) " rounds, "
        }
    }
}

/// Sluice's first run in a cell, and the first of that kind.
fn pair<'a, 'd>(cell: &Cell<'a, 'd>, kind: &str) -> Option<(&'d RunDigest<'a>, &'d RunDigest<'a>)> {
    let peer = cell.runs.iter().copied().find(|run| run.run.server == kind)?;
    Some((cell.sluice().next()?, peer))
}

fn against(digest: &Digest<'_>, kind: &str, figure: &str, name: &str) -> Option<Markup> {
    let cells = digest.cells();
    let closed = cells.iter().filter(|cell| !cell.runs[0].is_open());
    let pairs: Vec<_> = closed.filter_map(|cell| pair(cell, kind)).collect();
    let (sluice, peer) = pairs
        .iter()
        .find(|(sluice, _)| sluice.run.load.chunk_size.0 == CHUNK_BYTES)
        .or_else(|| pairs.first())?;
    let ratio = sluice.ratio(peer, figure)?;
    let all =
        Spread::of(pairs.iter().filter_map(|(a, b)| a.ratio(b, figure)).map(|ratio| ratio.median))?;
    let cpu = sluice.ratio(peer, "server_cpu_s_per_gb").filter(|_| figure == "gb_per_s");
    let detail = html! {
        (range(ratio, "×")) (link(sluice)) " to " (link(peer))
        @if sluice.run.client != peer.run.client { ", by another client" }
        @if let Some(cpu) = cpu { "; " b { (short(cpu.median)) "×" } " its CPU per GB" }
        @if all.count > 1 {
            br; (short(all.low)) "–" (short(all.high)) "× over " (all.count) " loads"
        }
    };
    Some(tile(&html! { (name) " ÷ " (kind) }, &short(ratio.median), "×", &detail))
}

/// The first open loop, and without one the first at the chunk size of the gates.
fn p99(digest: &Digest<'_>) -> Option<Markup> {
    let sluice = || digest.runs.iter().filter(|run| run.is_sluice() && run.ack.is_some());
    let reference = |run: &&RunDigest<'_>| run.run.load.chunk_size.0 == CHUNK_BYTES;
    let run = sluice()
        .find(|run| run.is_open() && run.run.series.as_deref() != Some("offered-load"))
        .or_else(|| sluice().find(reference))
        .or_else(|| sluice().next())?;
    let at = |quantile| run.ack_ms(quantile).map_or("–".into(), short);
    let detail = html! {
        "p50 " (at(0.5)) ", p95 " (at(0.95)) ", p99.9 " (at(0.999)) " ms; " (run.loop_text())
        ", " (link(run))
    };
    Some(tile(&html! { "p99 ack" }, &at(0.99), "ms", &detail))
}

fn steady(digest: &Digest<'_>) -> Option<Markup> {
    let length =
        |run: &RunDigest<'_>| run.good().map(|repeat| repeat.outcome.seconds).fold(0.0, f64::max);
    let timed = digest.series("time");
    let run = timed.iter().max_by(|a, b| length(a).total_cmp(&length(b)))?;
    let peak = run.spread("rss_peak_bytes")?;
    let growth = run.median("rss_growth");
    let detail = html! {
        "of server memory at most in " (time(length(run)))
        @if let Some(growth) = growth { ", last tenth ÷ second tenth " (short(growth)) }
        "; " (link(run))
    };
    let shown = with_unit(peak.high, "bytes");
    let (value, unit) = shown.split_once(' ').unwrap_or((&shown, ""));
    Some(tile(&html! { "Over time" }, value, unit, &detail))
}
