//! Figures 3 and 4 of the paper: how servers do by the size of what they are asked for.

use super::chart::{Area, failed, text};
use super::scenario::Scenario;
use super::summary::{Comparison, Row};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// The picture's height, and the room around the curves, in pixels.
pub(super) const HEIGHT: u32 = 340;
const TOP: i32 = 40;
const BOTTOM: i32 = 300;
const LEFT: i32 = 80;
/// Room for the names, to the right.
const NAMES: i32 = 150;
/// Lines across.
const STEPS: i32 = 4;

const COLORS: [RGBColor; 8] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0xc0, 0x2f, 0x8a),
    RGBColor(0x75, 0x70, 0xb3),
    RGBColor(0x66, 0xa6, 0x1e),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x66, 0x66, 0x66),
];

/// The scenarios that are points of curves: none unless there are two.
pub(super) fn points(comparison: &Comparison) -> Vec<(Scenario, Vec<Row>)> {
    let by_size = comparison.settings.scenarios.iter().filter(|scenario| scenario.is_by_size());
    let points: Vec<_> = by_size.map(|scenario| (*scenario, comparison.rows(*scenario))).collect();
    if points.len() > 1 { points } else { Vec::new() }
}

/// Draws a curve for each server through `points`: octets of documents per second, or requests.
///
/// # Errors
/// Drawing failed.
pub(super) fn draw(area: &Area<'_>, points: &[(Scenario, Vec<Row>)], in_megabytes: bool) -> Result<()> {
    let title = if in_megabytes { "by size: MB/s of documents" } else { "by size: requests/s" };
    area.draw(&Text::new(title, (12, TOP / 2), text(18, HPos::Left))).map_err(failed)?;
    let value = |scenario: Scenario, row: &Row| match in_megabytes {
        true => row.requests_per_second * scenario.size().unwrap_or(0) as f64 / 1e6,
        false => row.requests_per_second,
    };
    let all = points.iter().flat_map(|(scenario, rows)| rows.iter().map(|row| value(*scenario, row)));
    let highest = all.filter(|value| value.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let right = area.dim_in_pixel().0 as i32 - NAMES;
    let x = |index: usize| LEFT + (right - LEFT) * index as i32 / (points.len() as i32 - 1).max(1);
    let y = |value: f64| BOTTOM - (value / highest * f64::from(BOTTOM - TOP)) as i32;
    for step in 0..=STEPS {
        let level = highest * f64::from(step) / f64::from(STEPS);
        let line = PathElement::new([(LEFT, y(level)), (right, y(level))], RGBColor(0xdd, 0xdd, 0xdd));
        area.draw(&line).map_err(failed)?;
        area.draw(&Text::new(format!("{level:.0}"), (LEFT - 8, y(level)), text(14, HPos::Right))).map_err(failed)?;
    }
    for (index, (scenario, _)) in points.iter().enumerate() {
        let name = scenario.name().trim_start_matches("by-size-").to_owned();
        area.draw(&Text::new(name, (x(index), BOTTOM + 16), text(14, HPos::Center))).map_err(failed)?;
    }
    for (number, server) in servers(points).into_iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let found = points.iter().enumerate().filter_map(|(index, (scenario, rows))| {
            let row = rows.iter().find(|row| row.server == server)?;
            Some((x(index), y(value(*scenario, row))))
        });
        let curve: Vec<_> = found.collect();
        for point in &curve {
            area.draw(&Circle::new(*point, 3, color.filled())).map_err(failed)?;
        }
        area.draw(&PathElement::new(curve, color.stroke_width(2))).map_err(failed)?;
        let line = TOP + 20 * number as i32;
        area.draw(&Rectangle::new([(right + 12, line - 5), (right + 22, line + 5)], color.filled())).map_err(failed)?;
        area.draw(&Text::new(server, (right + 28, line), text(14, HPos::Left))).map_err(failed)?;
    }
    Ok(())
}

/// Every server that has a point, in the order in which they come.
fn servers(points: &[(Scenario, Vec<Row>)]) -> Vec<&'static str> {
    let mut servers = Vec::new();
    for row in points.iter().flat_map(|(_, rows)| rows) {
        if !servers.contains(&row.server) {
            servers.push(row.server);
        }
    }
    servers
}
