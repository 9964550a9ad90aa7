//! Bars with whiskers, one below the other. Names and values are letters of the page, which wrap
//! where it is narrow.

use maud::{Markup, html};

use crate::report::digest::Spread;
use crate::report::number::{short, with_unit};
use crate::report::plot::across;

/// One bar.
pub struct Bar {
    /// Whose it is.
    pub label: String,
    /// What a reader should know of it, in a word or two.
    pub flag: Option<&'static str>,
    /// Its colour.
    pub class: String,
    /// Its length and its whisker; none where there is no value.
    pub spread: Option<Spread>,
    /// What it is made of, from the left, if of several parts.
    pub parts: Vec<Part>,
}

/// A part of a bar.
pub struct Part {
    /// What it is.
    pub label: &'static str,
    /// How it is filled.
    pub class: &'static str,
    /// Its length.
    pub value: f64,
}

impl Bar {
    fn most(&self) -> f64 {
        let parts: f64 = self.parts.iter().map(|part| part.value).sum();
        self.spread.map_or(0.0, |spread| spread.high).max(parts)
    }
}

/// All of them under a title, to one scale that begins at nothing.
pub fn bars(title: &str, unit: &str, better: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(Bar::most).filter(|most| most.is_finite()).fold(0.0, f64::max);
    html! {
        figure.chart {
            figcaption { (title) " " small { (unit) ", " (better) } }
            ul.bars {
                @for bar in bars {
                    li class=(bar.class) {
                        span.name {
                            (bar.label)
                            @if let Some(flag) = bar.flag { " " span.flag { (flag) } }
                        }
                        span.value { (value(bar.spread, unit)) }
                        @if let Some(spread) = bar.spread { (drawn(bar, spread, most, unit)) }
                    }
                }
            }
        }
    }
}

/// `1.50 (1.40–1.60)`.
fn value(spread: Option<Spread>, unit: &str) -> Markup {
    let shown = |value| if unit == "bytes" { with_unit(value, unit) } else { short(value) };
    html! {
        @match spread {
            None => "–",
            Some(spread) => {
                b { (shown(spread.median)) }
                @if spread.low < spread.high {
                    small { " (" (shown(spread.low)) "–" (shown(spread.high)) ")" }
                }
            }
        }
    }
}

fn drawn(bar: &Bar, spread: Spread, most: f64, unit: &str) -> Markup {
    // Nothing is as long as nothing, also among nothings.
    let part = |value: f64| across(if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 });
    let starts = bar.parts.iter().scan(0.0, |end, part| {
        let start = *end;
        *end += part.value;
        Some(start)
    });
    html! {
        svg xmlns="http://www.w3.org/2000/svg" height="16" role="img" {
            title { (told(bar, spread, unit)) }
            rect class="track" width="100%" y="1" height="14" {}
            @if bar.parts.is_empty() {
                rect class="solid" width=(part(spread.median)) y="1" height="14" {}
            }
            @for (of, start) in bar.parts.iter().zip(starts) {
                rect class=(of.class) x=(part(start)) width=(part(of.value)) y="1" height="14" {}
            }
            @if spread.count > 1 {
                line class="range" x1=(part(spread.low)) x2=(part(spread.high)) y1="8" y2="8" {}
                line class="range" x1=(part(spread.low)) x2=(part(spread.low)) y1="4" y2="12" {}
                line class="range" x1=(part(spread.high)) x2=(part(spread.high)) y1="4" y2="12" {}
            }
        }
    }
}

fn told(bar: &Bar, spread: Spread, unit: &str) -> String {
    let parts: Vec<String> =
        bar.parts.iter().map(|part| format!("{} {}", part.label, short(part.value))).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}: {}{parts}", bar.label, with_unit(spread.median, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_nothing_are_drawn_as_nothing() {
        let bar = |label: &str, spread| Bar {
            label: label.into(),
            flag: None,
            class: "k-other".into(),
            spread,
            parts: Vec::new(),
        };
        let all = [bar("<zero>", Spread::of([0.0])), bar("none", None)];
        let drawn = bars("x", "GB/s", "more is better", &all).into_string();
        assert!(!drawn.contains("NaN") && !drawn.contains("<zero>"), "{drawn}");
        assert!(drawn.contains("width=\"0%\"") && drawn.contains('–'), "{drawn}");
    }
}
