//! The evaluation as bars: for each program and workload, throughput, and what a request costs the application and the
//! TCP server, stacked (as in the paper's figures 6 to 9).

use super::accounts::Cost;
use super::summary::{Evaluation, Row};
use super::workload::name_of;
use crate::compare::chart::{Area, failed, line_height, text};
use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

/// The size of one chart, and of a bar with its gap, in pixels.
const WIDTH: u32 = 760;
const BAR: i32 = 26;
/// Room for the title above, the names to the left of the bars, and the numbers to their right.
const TITLE: i32 = 34;
const NAMES: i32 = 340;
const NUMBERS: i32 = 130;
/// Room for the legend, at the very top.
const LEGEND: u32 = 40;

/// The parts of a bar: what each role spends in user space, in the kernel, and on receiving and interrupts.
const APPLICATION: [RGBColor; 3] = [RGBColor(0x12, 0x4a, 0x75), RGBColor(0x1b, 0x6c, 0xa8), RGBColor(0x7f, 0xb6, 0xdc)];
const TCP_SERVER: [RGBColor; 3] = [RGBColor(0xa0, 0x4a, 0x0b), RGBColor(0xdd, 0x77, 0x2c), RGBColor(0xf2, 0xb9, 0x8a)];
const THROUGHPUT: RGBColor = APPLICATION[1];
const PARTS: [&str; 3] = ["user", "kernel", "receiving"];

/// A bar of several parts.
struct Bar {
    name: String,
    parts: Vec<(RGBColor, f64)>,
    number: String,
}

/// An SVG with a line of two charts for each program and workload.
///
/// # Errors
/// Drawing failed.
pub(super) fn draw(evaluation: &Evaluation) -> Result<String> {
    let scenarios = evaluation.scenarios();
    let lines: Vec<_> =
        scenarios.iter().map(|(program, workload)| (program, workload, evaluation.rows(*program, *workload))).collect();
    let height: u32 = lines.iter().map(|(.., rows)| line_height(rows.len())).sum();
    let mut picture = String::new();
    {
        let whole = SVGBackend::with_string(&mut picture, (2 * WIDTH, LEGEND + height.max(1))).into_drawing_area();
        whole.fill(&WHITE).map_err(failed)?;
        let (top, mut rest) = whole.split_vertically(LEGEND);
        legend(&top)?;
        for (program, workload, rows) in &lines {
            let (line, below) = rest.split_vertically(line_height(rows.len()));
            let (left, right) = line.split_horizontally(WIDTH);
            let name = format!("{}, {}", name_of(**program), workload.name());
            let base = rows.iter().find(|row| row.configuration == evaluation.settings.base);
            let throughput = |row| throughput(row, base.filter(|_| evaluation.settings.base.swept().is_some()));
            bars(&left, &format!("{name}: requests/s"), rows.iter().map(throughput).collect())?;
            bars(&right, &format!("{name}: CPU us per request"), rows.iter().map(cost).collect())?;
            rest = below;
        }
        whole.present().map_err(failed)?;
    }
    Ok(picture)
}

/// With how many times as much it is as with the smallest of a sweep.
fn throughput(row: &Row, smallest: Option<&Row>) -> Bar {
    let rate = row.requests_per_second;
    let ratio = smallest.map_or(String::new(), |smallest| format!(" (x {:.2})", rate / smallest.requests_per_second));
    Bar { name: row.configuration.label(), parts: vec![(THROUGHPUT, rate)], number: format!("{rate:.0}{ratio}") }
}

fn cost(row: &Row) -> Bar {
    let parts = |cost: Cost, colors: [RGBColor; 3]| {
        let Cost { user_us, system_us, receiving_us, interrupts_us } = cost;
        colors.into_iter().zip([user_us, system_us, receiving_us + interrupts_us])
    };
    let all = parts(row.application, APPLICATION).chain(parts(row.tcp_server, TCP_SERVER)).collect();
    let (application, tcp_server) = (row.application_us, row.tcp_server_us);
    let number =
        if tcp_server > 0.0 { format!("{application:.1} + {tcp_server:.1}") } else { format!("{application:.1}") };
    Bar { name: row.configuration.label(), parts: all, number }
}

/// Bars from the left, with their numbers at their ends.
fn bars(area: &Area<'_>, title: &str, bars: Vec<Bar>) -> Result<()> {
    area.draw(&Text::new(title.to_owned(), (12, TITLE / 2), text(18, HPos::Left))).map_err(failed)?;
    let total = |bar: &Bar| bar.parts.iter().map(|part| part.1).filter(|value| value.is_finite()).sum::<f64>();
    let longest = bars.iter().map(total).fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(WIDTH as i32 - NAMES - NUMBERS) / longest;
    for (index, bar) in bars.iter().enumerate() {
        let top = TITLE + BAR * index as i32;
        let (middle, mut value) = (top + BAR / 2, 0.0);
        let at = |value: f64| NAMES + (value * scale) as i32;
        for (color, part) in bar.parts.iter().filter(|part| part.1.is_finite()) {
            let corners = [(at(value), top + 4), (at(value + part), top + BAR - 4)];
            area.draw(&Rectangle::new(corners, color.filled())).map_err(failed)?;
            value += part;
        }
        area.draw(&Text::new(bar.name.clone(), (NAMES - 8, middle), text(16, HPos::Right))).map_err(failed)?;
        area.draw(&Text::new(bar.number.clone(), (at(value) + 6, middle), text(16, HPos::Left))).map_err(failed)?;
    }
    Ok(())
}

fn legend(area: &Area<'_>) -> Result<()> {
    let (middle, mut left) = (LEGEND as i32 / 2, WIDTH as i32 + 12);
    for (role, colors) in [("application", APPLICATION), ("TCP server", TCP_SERVER)] {
        for (part, color) in PARTS.into_iter().zip(colors) {
            let corners = [(left, middle - 6), (left + 12, middle + 6)];
            area.draw(&Rectangle::new(corners, color.filled())).map_err(failed)?;
            let label = if part == PARTS[0] { format!("{role}: {part}") } else { part.to_owned() };
            let width = 12 + 8 * label.len() as i32;
            area.draw(&Text::new(label, (left + 18, middle), text(14, HPos::Left))).map_err(failed)?;
            left += 18 + width;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::summary::tests::example;
    use super::*;

    #[test]
    fn the_picture_stacks_what_both_roles_spend() {
        let picture = draw(&example()).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for part in [
            "simple, synthetic, http-1.0: requests/s",
            "simple, synthetic, http-1.0: CPU us per request",
            "dedicated-1:receive:interrupt:kernel",
            "10.0 + 10.0",
            "TCP server: user",
        ] {
            assert!(picture.contains(part), "{part} is missing in {picture}");
        }
        assert!(picture.contains("#A04A0B") && picture.contains("#124A75"), "each role has its colours");
    }
}
