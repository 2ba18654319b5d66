//! Bars over time, drawn here as SVG.
//!
//! The drawing is of numbers and dates alone: names from outside never come into it. Its colours are placeholders. Those
//! of the series become the patterns of `parts/patterns.html`, so that they can be told apart without colour; the style
//! sheet gives all of them their colours, light or dark.

use std::fmt::Write as _;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::service::error::ServiceError;

/// How many series there are patterns for.
pub(super) const SERIES: usize = 5;

/// In units of the drawing, which is scaled to the page.
const SIZE: (u32, u32) = (760, 250);
const GAP: u32 = 4;

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
    // Of the size of texts, 10.4 and a fraction.
    "83870967741936",
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
    /// The drawing as an element of a page.
    pub(super) fn svg(&self) -> Result<String, ServiceError> {
        let mut drawing = String::new();
        self.draw(&mut drawing)
            .map_err(|error| ServiceError::internal(error.to_string()))?;
        for number in 1..=SERIES {
            let placeholder = format!("fill=\"#00000{number}\"");
            drawing = drawing.replace(&placeholder, &format!("fill=\"url(#p{number})\""));
        }
        for superfluous in SUPERFLUOUS {
            drawing = drawing.replace(superfluous, "");
        }
        let (_, content) = drawing
            .split_once('>')
            .ok_or_else(|| ServiceError::internal("a drawing without a beginning"))?;
        let (id, title, summary) = (self.id, self.title, &self.summary);
        let mut svg = format!(
            "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {} {}\"",
            SIZE.0, SIZE.1
        );
        write!(
            svg,
            " aria-labelledby=\"{id}-title {id}-summary\"><title id=\"{id}-title\">{title}</title>\
             <desc id=\"{id}-summary\">{summary}</desc>{content}"
        )
        .expect("a string takes everything");
        Ok(svg)
    }

    fn draw(&self, drawing: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::with_string(drawing, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(10)
            .margin_right(4)
            .x_label_area_size(30)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..at(self.labels.len().max(1)), 0.0..self.height())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .max_light_lines(0)
            .bold_line_style(LINES)
            .axis_style(LINES)
            .label_style(("sans-serif", 13))
            .y_labels(5)
            .y_label_formatter(&|value| (self.scale)(*value))
            .draw()?;
        let beneath = ("sans-serif", 13)
            .into_font()
            .color(&BLACK)
            .pos(Pos::new(HPos::Center, VPos::Top));
        for (place, label) in self.labels.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(at(place) + 0.5, 0.0));
            root.draw(&Text::new(label.as_str(), (x, y + 8), beneath.clone()))?;
            let mut bottom = 0.0;
            for (number, values) in (1u8..).zip(self.series) {
                let value = values.get(place).copied().unwrap_or_default();
                if value <= 0.0 {
                    continue;
                }
                let corners = [(at(place), bottom), (at(place + 1), bottom + value)];
                let mut bar = Rectangle::new(corners, RGBColor(0, 0, number).filled());
                bar.set_margin(0, 0, GAP, GAP);
                chart.draw_series([bar])?;
                bottom += value;
            }
        }
        root.present()?;
        drop(chart);
        Ok(())
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
        assert_eq!(svg.matches("url(#p1)").count(), 2);
        assert_eq!(svg.matches("url(#p2)").count(), 1);
        assert!(
            svg.contains("font-size=\"10.4\"") && !svg.contains("font-family"),
            "{svg}"
        );
        assert!(svg.contains("1 Jan") && svg.contains("2 Jan"), "{svg}");
        assert!(svg.contains("role=\"img\"") && svg.contains("<title id=\"x-title\">Things</title>"));
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
