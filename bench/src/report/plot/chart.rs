//! Lines over two axes.

use maud::{Markup, html};

use crate::report::plot::{MARKS, Scale, across, legend, trimmed};

/// Pixels from the lowest to the highest value.
const HEIGHT: f64 = 230.0;

/// A picture of lines.
pub struct Chart {
    /// No other on the page has it.
    pub id: String,
    /// What is seen.
    pub title: String,
    /// The same for those who can't see it: what the lines say.
    pub about: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The first is drawn last: nothing lies over it.
    pub lines: Vec<Line>,
}

/// One of the two.
pub struct Axis {
    /// What it measures, and in what.
    pub label: String,
    /// From where to where.
    pub scale: Scale,
    /// Which values are named, and how.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// One that names its own round values.
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        let shown = |tick: f64| match tick {
            tick if tick >= 1000.0 => crate::report::number::count(tick.round() as u64),
            // A tenth of a tenth isn't 0.010000000000000002.
            tick => ((tick * 1e9).round() / 1e9).to_string(),
        };
        let ticks = scale.ticks().into_iter().map(|tick| (tick, shown(tick))).collect();
        Self { label: label.into(), scale, ticks }
    }
}

/// One line.
pub struct Line {
    /// What it is called.
    pub label: String,
    /// Its colour.
    pub class: String,
    /// Which dashes and marks it has.
    pub nth: usize,
    /// From left to right.
    pub points: Vec<Point>,
    /// Whether its points are marked.
    pub dots: bool,
}

/// One place on a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Across.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// The lowest and the highest round, if there were several.
    pub range: Option<(f64, f64)>,
}

impl Chart {
    /// With its title and what stands for which line.
    pub fn figure(&self) -> Markup {
        html! {
            figure.chart {
                figcaption { (self.title) }
                @if self.lines.len() > 1 || self.lines.iter().any(|line| line.dots) {
                    (legend(&self.lines))
                }
                div.plot { (self.svg()) }
            }
        }
    }

    fn svg(&self) -> Markup {
        let (title, about) = (format!("{}-t", self.id), format!("{}-d", self.id));
        html! {
            svg xmlns="http://www.w3.org/2000/svg" role="img" height=(HEIGHT + 58.0)
                aria-labelledby={ (title) " " (about) } {
                title id=(title) { (self.title) }
                desc id=(about) { (self.about) }
                text class="axis" x="0" dx="-44" y="10" { (self.y.label) }
                svg y="22" {
                    (self.grid())
                    @for line in self.lines.iter().rev() { (self.line(line)) }
                }
            }
        }
    }

    fn grid(&self) -> Markup {
        html! {
            @for (tick, shown) in &self.y.ticks {
                @let y = trimmed(self.down(*tick));
                line class="grid" x1="0" x2="100%" y1=(y) y2=(y) {}
                text class="tick end" x="0" dx="-7" y=(y) dy="4" { (shown) }
            }
            @for (tick, _) in &self.x.ticks {
                @let x = across(self.x.scale.at(*tick));
                line class="grid" x1=(x) x2=(x) y1="0" y2=(HEIGHT) {}
            }
            @for (nth, (tick, shown)) in self.named().into_iter().enumerate() {
                @let x = across(self.x.scale.at(*tick));
                text class=(if nth % 2 == 1 { "tick mid alt" } else { "tick mid" })
                    x=(x) y=(HEIGHT + 16.0) { (shown) }
            }
            text class="axis end" x="100%" y=(HEIGHT + 33.0) { (self.x.label) }
        }
    }

    /// Ticks across whose names don't run into each other; the last has its name in any case.
    fn named(&self) -> Vec<&(f64, String)> {
        const APART: f64 = 0.11;
        let at = |tick: &(f64, String)| self.x.scale.at(tick.0);
        let mut named: Vec<&(f64, String)> = Vec::new();
        for tick in &self.x.ticks {
            if named.last().is_none_or(|last| at(tick) - at(last) >= APART) {
                named.push(tick);
            }
        }
        if let (Some(end), Some(last)) = (self.x.ticks.last(), named.last())
            && end.0 > last.0
        {
            named.pop();
            named.push(end);
        }
        named
    }

    fn line(&self, line: &Line) -> Markup {
        let points: Vec<Point> =
            line.points.iter().copied().filter(|p| p.x.is_finite() && p.y.is_finite()).collect();
        let places: Vec<String> = points
            .iter()
            .map(|p| {
                let x = trimmed(self.x.scale.at(p.x) * 1000.0);
                format!("{x},{}", trimmed(self.down(p.y)))
            })
            .collect();
        html! {
            g class=(line.class) {
                svg viewBox={ "0 0 1000 " (HEIGHT) } width="100%" height=(HEIGHT)
                    preserveAspectRatio="none" {
                    polyline class={ "l d" (line.nth % MARKS) } points=(places.join(" ")) {}
                }
                @for point in &points {
                    @let x = across(self.x.scale.at(point.x));
                    @if let Some((low, high)) = point.range {
                        line class="whisker" x1=(x) x2=(x)
                            y1=(trimmed(self.down(low))) y2=(trimmed(self.down(high))) {}
                    }
                    @if line.dots {
                        use href={ "#m" (line.nth % MARKS) } x=(x) y=(trimmed(self.down(point.y))) {
                            title { (self.told(line, *point)) }
                        }
                    }
                }
            }
        }
    }

    /// What a mark says to a pointer.
    fn told(&self, line: &Line, point: Point) -> String {
        let short = crate::report::number::short;
        let near = |tick: &&(f64, String)| (tick.0 - point.x).abs() <= 1e-9 * point.x.abs();
        let x = self.x.ticks.iter().find(near).map_or_else(|| short(point.x), |t| t.1.clone());
        let range = match point.range {
            Some((low, high)) => format!(" ({}–{})", short(low), short(high)),
            None => String::new(),
        };
        format!("{} at {x}: {}{range} {}", line.label, short(point.y), self.y.label)
    }

    fn down(&self, value: f64) -> f64 {
        (1.0 - self.y.scale.at(value)) * HEIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_not_drawn() {
        let point = |x, y| Point { x, y, range: None };
        let line = Line {
            label: "a".into(),
            class: "k-sluice".into(),
            nth: 0,
            points: vec![point(0.0, 1.0), point(1.0, f64::NAN), point(2.0, 2.0)],
            dots: true,
        };
        let chart = Chart {
            id: "x".into(),
            title: "<a & b>".into(),
            about: String::new(),
            x: Axis::new("s", Scale::from_zero([2.0])),
            y: Axis::new("GB/s", Scale::from_zero([2.0])),
            lines: vec![line],
        };
        let drawn = chart.figure().into_string();
        assert!(!drawn.contains("NaN"), "{drawn}");
        assert!(drawn.contains("points=\"0,115 1000,0\""), "{drawn}");
        assert!(drawn.contains("&lt;a &amp; b&gt;") && !drawn.contains("<a &"), "{drawn}");
        assert!(drawn.contains("a at 2: 2.00 GB/s"), "{drawn}");
    }
}
