//! The comparison as bars: for each scenario, requests per second and cost per request.

use super::curves;
use super::scenario::Scenario;
use super::summary::{Comparison, Row};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The size of one chart, and of a bar with its gap, in pixels.
pub(crate) const WIDTH: u32 = 540;
const BAR: u32 = 26;
/// Room for the title above, and the names to the left of the bars.
const TITLE: i32 = 34;
const NAMES: i32 = 140;
/// Room for the numbers to the right of the longest bar.
const NUMBERS: i32 = 80;

const OURS: RGBColor = RGBColor(0x1b, 0x6c, 0xa8);
const OTHERS: RGBColor = RGBColor(0xa9, 0xb4, 0xc2);

/// Where to draw.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG with a line of charts for each scenario, and one with curves for those that differ by size.
///
/// # Errors
/// Drawing failed.
pub(super) fn draw(comparison: &Comparison) -> Result<String> {
    let points = curves::points(comparison);
    let scenarios = comparison.settings.scenarios.iter().copied();
    let in_bars = scenarios.filter(|scenario| points.iter().all(|(point, _)| point != scenario));
    let lines: Vec<_> = in_bars.map(|scenario| (scenario, comparison.rows(scenario))).collect();
    let below = if points.is_empty() { 0 } else { curves::HEIGHT };
    let height: u32 = lines.iter().map(|(_, rows)| line_height(rows.len())).sum::<u32>() + below;
    let mut picture = String::new();
    {
        let mut rest = SVGBackend::with_string(&mut picture, (2 * WIDTH, height.max(1))).into_drawing_area();
        rest.fill(&WHITE).map_err(failed)?;
        for (scenario, rows) in &lines {
            let (line, below) = rest.split_vertically(line_height(rows.len()));
            draw_line(&line, *scenario, rows)?;
            rest = below;
        }
        if !points.is_empty() {
            let (left, right) = rest.split_horizontally(WIDTH);
            curves::draw(&left, &points, false)?;
            curves::draw(&right, &points, true)?;
        }
        rest.present().map_err(failed)?;
    }
    Ok(picture)
}

/// The height of a chart with so many bars, in pixels.
pub(crate) fn line_height(bars: usize) -> u32 {
    TITLE as u32 + BAR * bars as u32 + 16
}

fn draw_line(area: &Area<'_>, scenario: Scenario, rows: &[Row]) -> Result<()> {
    let (left, right) = area.split_horizontally(WIDTH);
    let name = scenario.name();
    if scenario == Scenario::Idle10K {
        return bars(&left, &format!("{name}: octets per connection"), &values(rows, |row| row.memory), 0);
    }
    bars(&left, &format!("{name}: requests/s"), &values(rows, |row| row.requests_per_second), 0)?;
    bars(&right, &format!("{name}: CPU us per request"), &values(rows, |row| row.cpu_us_per_request), 1)
}

fn values(rows: &[Row], value: fn(&Row) -> f64) -> Vec<(&'static str, f64)> {
    rows.iter().map(|row| (row.server, value(row))).collect()
}

/// One bar for each server, from the left, with its number at its end.
///
/// # Errors
/// Drawing failed.
pub(crate) fn bars(area: &Area<'_>, title: &str, rows: &[(&str, f64)], decimals: usize) -> Result<()> {
    area.draw(&Text::new(title.to_owned(), (12, TITLE / 2), text(18, HPos::Left))).map_err(failed)?;
    let longest = rows.iter().map(|row| row.1).filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(WIDTH as i32 - NAMES - NUMBERS);
    for (index, &(server, number)) in rows.iter().enumerate() {
        let top = TITLE + BAR as i32 * index as i32;
        let middle = top + BAR as i32 / 2;
        let end = NAMES + if number.is_finite() { (number / longest * room) as i32 } else { 0 };
        let color = if server.starts_with("afpa") { OURS } else { OTHERS };
        area.draw(&Rectangle::new([(NAMES, top + 4), (end, top + BAR as i32 - 4)], color.filled())).map_err(failed)?;
        area.draw(&Text::new(server, (NAMES - 8, middle), text(16, HPos::Right))).map_err(failed)?;
        area.draw(&Text::new(format!("{number:.decimals$}"), (end + 6, middle), text(16, HPos::Left)))
            .map_err(failed)?;
    }
    Ok(())
}

/// Black letters of `size` pixels, `anchor` of which lies at the given point.
pub(crate) fn text(size: i32, anchor: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(anchor, VPos::Center))
}

pub(crate) fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::example;
    use super::*;

    #[test]
    fn the_picture_names_every_server_and_scenario() {
        let picture = draw(&example()).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for part in ["afpa", "nginx", "persistent-1k: requests/s", "persistent-1k: CPU us per request", "idle-10k"] {
            assert!(picture.contains(part), "{part} is missing in {picture}");
        }
    }

    #[test]
    fn scenarios_that_differ_by_size_are_curves() {
        let mut comparison = example();
        let picture = draw(&comparison).unwrap();
        assert!(!picture.contains("by size") && !picture.contains("<polyline"), "{picture}");
        comparison.settings.scenarios = vec![Scenario::BySize4K, Scenario::BySize32K];
        for scenario in [Scenario::BySize4K, Scenario::BySize32K] {
            comparison.repeat(Scenario::Persistent1K, scenario);
        }
        let picture = draw(&comparison).unwrap();
        for part in ["by size: requests/s", "by size: MB/s", "<polyline", "4k", "32k", "nginx"] {
            assert!(picture.contains(part), "{part} is missing in {picture}");
        }
    }
}
