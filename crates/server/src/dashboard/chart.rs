//! Bars over time, drawn here as SVG.
//!
//! The drawing is of numbers and dates alone: names from outside never come into it. Its bars are filled with the
//! patterns of `parts/patterns.html`, so that series can be told apart without colour; the style sheet gives everything
//! its colours, light or dark.
//!
//! A drawing scales with all its letters. So there are two of each chart, and the style sheet shows the one that can be
//! read where it stands.

use std::fmt::Write as _;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::service::error::ServiceError;

/// How many series there are patterns for.
pub(super) const SERIES: usize = 5;

/// How it is laid out, in units of the drawing, which is scaled to the page.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    size: (u32, u32),
    letters: u32,
    /// For the scale, on the left.
    scale: u32,
    /// Where the last label ends, on the right.
    right: u32,
    /// Between bars, on each side.
    gap: i32,
    /// Of how many bars one has a label; the last has one.
    every: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "wide",
        size: (760, 240),
        letters: 15,
        scale: 58,
        right: 4,
        gap: 4,
        every: 1,
    },
    Shape {
        name: "small",
        size: (300, 190),
        letters: 15,
        scale: 56,
        right: 14,
        gap: 2,
        every: 4,
    },
];

/// Of lines behind the bars; the style sheet knows it.
const LINES: RGBColor = RGBColor(0, 0, 0xfe);

/// What each part of a drawing says about itself although it is so anyway, or the style sheet says otherwise: a tenth of
/// what a page may weigh.
const SUPERFLUOUS: [&str; 7] = [
    " opacity=\"1\"",
    " stroke=\"none\"",
    " stroke-width=\"1\"",
    " font-family=\"sans-serif\"",
    " fill=\"#000000\"",
    // Of the size of letters, 12.09 and a fraction.
    "6774193548388",
    "\n",
];

/// Bars over time, one upon the other.
pub(super) struct Bars<'a> {
    /// Unique on the page.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What there is to see, in a sentence.
    pub(super) summary: String,
    /// What stands beneath the bars.
    pub(super) labels: &'a [String],
    /// At most [`SERIES`], the lowest first, each with a value for every label.
    pub(super) series: &'a [Vec<f64>],
    pub(super) scale: fn(f64) -> String,
    /// The end of the scale, if it is not to be that of the highest bar.
    pub(super) top: Option<f64>,
}

/// Where a bar begins; each is as wide as 1.
#[expect(clippy::cast_precision_loss, reason = "there are few bars")]
fn at(place: usize) -> f64 {
    place as f64
}

// === impl Bars ===

impl Bars<'_> {
    /// The drawings as elements of a page.
    pub(super) fn svg(&self) -> Result<String, ServiceError> {
        SHAPES.iter().map(|shape| self.drawing(shape)).collect()
    }

    fn drawing(&self, shape: &Shape) -> Result<String, ServiceError> {
        let mut drawing = String::new();
        let bars = self
            .draw(shape, &mut drawing)
            .map_err(|error| ServiceError::internal(error.to_string()))?;
        for superfluous in SUPERFLUOUS {
            drawing = drawing.replace(superfluous, "");
        }
        let content = drawing
            .split_once('>')
            .and_then(|(_, content)| content.trim_end().strip_suffix("</svg>"))
            .ok_or_else(|| ServiceError::internal("a drawing without a beginning or an end"))?;
        let (name, title, summary) = (shape.name, self.title, &self.summary);
        let id = format!("{}-{name}", self.id);
        let (width, height) = shape.size;
        let mut svg = format!("<svg class=\"chart {name}\" role=\"img\" viewBox=\"0 0 {width} {height}\"");
        write!(
            svg,
            " aria-labelledby=\"{id}-title {id}-summary\"><title id=\"{id}-title\">{title}</title>\
             <desc id=\"{id}-summary\">{summary}</desc>{content}{bars}</svg>"
        )
        .expect("a string takes everything");
        Ok(svg)
    }

    /// Draws the scale and the labels; the bars, to be put into the drawing.
    fn draw(&self, shape: &Shape, drawing: &mut String) -> Result<String, Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::with_string(drawing, shape.size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(10)
            .margin_right(shape.right)
            .x_label_area_size(28)
            .y_label_area_size(shape.scale)
            .build_cartesian_2d(0.0..at(self.labels.len().max(1)), 0.0..self.height())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .max_light_lines(0)
            .bold_line_style(LINES)
            .axis_style(LINES)
            .label_style(("sans-serif", shape.letters))
            .y_labels(5)
            .y_label_formatter(&|value| (self.scale)(*value))
            .draw()?;
        let beneath = ("sans-serif", shape.letters)
            .into_font()
            .color(&BLACK)
            .pos(Pos::new(HPos::Center, VPos::Top));
        for (place, label) in self.labels.iter().enumerate() {
            if (self.labels.len() - 1 - place).is_multiple_of(shape.every) {
                let (x, y) = chart.backend_coord(&(at(place) + 0.5, 0.0));
                root.draw(&Text::new(label.as_str(), (x, y + 8), beneath.clone()))?;
            }
        }
        root.present()?;
        let bars = self.bars(shape, |x, y| chart.backend_coord(&(x, y)));
        drop(chart);
        Ok(bars)
    }

    /// A path for each series. As one, the bars take a third of what they take as elements.
    fn bars(&self, shape: &Shape, place_of: impl Fn(f64, f64) -> (i32, i32)) -> String {
        let mut bottoms = vec![0.0; self.labels.len()];
        let mut bars = String::new();
        for (number, values) in (1..=SERIES).zip(self.series) {
            let mut path = String::new();
            for (place, (value, bottom)) in values.iter().zip(&mut bottoms).enumerate() {
                if *value <= 0.0 {
                    continue;
                }
                let (left, below) = place_of(at(place), *bottom);
                *bottom += value;
                let (right, above) = place_of(at(place + 1), *bottom);
                let (left, width) = (left + shape.gap, right - left - 2 * shape.gap);
                // What is there is seen.
                let height = (below - above).max(1);
                write!(path, "M{left} {below}h{width}v-{height}h-{width}z")
                    .expect("a string takes everything");
            }
            if !path.is_empty() {
                write!(bars, "<path fill=\"url(#p{number})\" d=\"{path}\"/>")
                    .expect("a string takes everything");
            }
        }
        bars
    }

    /// Of the scale. There is one, also where there is nothing to show.
    fn height(&self) -> f64 {
        let stack = |place| {
            let values = self.series.iter().filter_map(|values| values.get(place));
            values.sum::<f64>()
        };
        let highest = (0..self.labels.len()).map(stack).fold(0.0, f64::max);
        self.top.unwrap_or((highest * 1.05).max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(series: &[Vec<f64>]) -> String {
        let labels = ["1 Jan".to_owned(), "2 Jan".to_owned()];
        let chart = Bars {
            id: "x",
            title: "Things",
            summary: "Two days.".to_owned(),
            labels: &labels,
            series,
            scale: |value| format!("{value:.0}"),
            top: None,
        };
        chart.svg().unwrap()
    }

    #[test]
    fn every_value_is_a_bar_with_a_pattern() {
        let svg = bars(&[vec![1.0, 2.0], vec![0.0, 3.0]]);
        let of = |pattern: &str| -> Vec<usize> {
            let paths = svg.split("<path ").filter(|path| path.starts_with(pattern));
            paths.map(|path| path.matches('M').count()).collect()
        };
        assert_eq!(of("fill=\"url(#p1)\""), [2, 2], "in each of the two drawings");
        assert_eq!(of("fill=\"url(#p2)\""), [1, 1]);
        assert_eq!(
            (svg.matches("1 Jan").count(), svg.matches("2 Jan").count()),
            (1, 2)
        );
        assert_eq!(svg.matches("role=\"img\"").count(), 2);
        assert!(
            svg.contains("font-size=\"12.09\"") && !svg.contains("font-family"),
            "{svg}"
        );
        assert!(svg.contains("<title id=\"x-wide-title\">Things</title>"), "{svg}");
        assert!(
            svg.trim_end().ends_with("</svg>") && !svg.contains("style="),
            "{svg}"
        );
    }

    #[test]
    fn nothing_is_drawn_as_well() {
        for series in [vec![], vec![vec![0.0, 0.0]], vec![vec![]]] {
            assert!(!bars(&series).contains("url(#p"));
        }
    }
}
