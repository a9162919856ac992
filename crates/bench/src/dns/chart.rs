//! The comparison as bars: for each scenario, queries per second and cost per query.

use super::summary::{Comparison, Row};
use crate::compare::chart::{WIDTH, bars, failed, line_height};
use anyhow::Result;
use plotters::prelude::*;

/// An SVG with a line of two charts for each scenario.
///
/// # Errors
/// Drawing failed.
pub(super) fn draw(comparison: &Comparison) -> Result<String> {
    let scenarios = comparison.settings.scenarios.iter();
    let lines: Vec<_> = scenarios.map(|scenario| (scenario.name(), comparison.rows(*scenario))).collect();
    let height: u32 = lines.iter().map(|(_, rows)| line_height(rows.len())).sum();
    let mut picture = String::new();
    {
        let mut rest = SVGBackend::with_string(&mut picture, (2 * WIDTH, height.max(1))).into_drawing_area();
        rest.fill(&WHITE).map_err(failed)?;
        for (name, rows) in &lines {
            let (line, below) = rest.split_vertically(line_height(rows.len()));
            let (left, right) = line.split_horizontally(WIDTH);
            bars(&left, &format!("{name}: queries/s"), &values(rows, |row| row.queries_per_second), 0)?;
            bars(&right, &format!("{name}: CPU us per query"), &values(rows, |row| row.cpu_us_per_query), 2)?;
            rest = below;
        }
        rest.present().map_err(failed)?;
    }
    Ok(picture)
}

fn values(rows: &[Row], value: fn(&Row) -> f64) -> Vec<(&'static str, f64)> {
    rows.iter().map(|row| (row.server, value(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::example;
    use super::*;

    #[test]
    fn the_picture_names_every_server_and_scenario() {
        let picture = draw(&example()).unwrap();
        for part in ["afpa", "unbound", "cached: queries/s", "cached: CPU us per query", "authoritative: queries/s"] {
            assert!(picture.contains(part), "{part} is missing in {picture}");
        }
    }
}
