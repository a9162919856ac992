//! What an overload did to each class.

use crate::compare::chart::{WIDTH, bars, failed, line_height};
use crate::compare::kernel;
use crate::compare::table::Table;
use crate::load::LoadReport;
use crate::origin::Counts;
use anyhow::Result;
use plotters::prelude::*;
use serde_json::{Value, json};
use std::fmt;

/// The version of the JSON form; it changes when a field's name or meaning does.
const SCHEMA: &str = "afpa-bench/qos/1";

/// A class's part of a load.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) name: &'static str,
    /// Requests per second that were due.
    pub(super) offered: f64,
    pub(super) load: LoadReport,
}

/// The experiment.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// What the origin can do, in requests per second.
    pub(super) capacity: f64,
    /// The best class without the others.
    pub(super) alone: Vec<Class>,
    /// All classes.
    pub(super) together: Vec<Class>,
    /// What the origin counted in all.
    pub(super) origin: Counts,
}

impl Report {
    /// The loads in the order of figures: their condition, the class, and its share of all that was answered.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &Class, f64)> {
        let conditions = [("alone", &self.alone), ("overload", &self.together)];
        conditions.into_iter().flat_map(|(condition, classes)| {
            let all: f64 = classes.iter().map(|class| class.load.requests_per_second).sum();
            let share = move |class: &Class| if all > 0.0 { class.load.requests_per_second / all } else { 0.0 };
            classes.iter().map(move |class| (condition, class, share(class)))
        })
    }

    /// The JSON form:
    ///
    /// - `schema`, `kernel`, `capacity` (requests per second of the origin);
    /// - `classes`: for each load its `condition` (`alone`, `overload`), `class`, `offered` (requests per second that
    ///   were due), `share` (0 to 1, of the requests that were answered in that condition), and `load`, as of the
    ///   command `load`: answers other than 200 are among its `errors`, what was not answered is `unfinished`;
    /// - `origin`: `requests` that it saw, the most that it `served` at once and that were `waiting` there.
    pub(super) fn to_json(&self) -> Value {
        let classes = self.rows().map(|(condition, class, share)| {
            json!({
                "condition": condition, "class": class.name, "offered": class.offered, "share": share, "load": class.load,
            })
        });
        let Counts { requests, served_most, waiting_most, .. } = self.origin;
        json!({
            "schema": SCHEMA,
            "kernel": kernel(),
            "capacity": self.capacity,
            "classes": classes.collect::<Vec<_>>(),
            "origin": { "requests": requests, "served": served_most, "waiting": waiting_most },
        })
    }

    /// Bars for each load: requests per second, and the 99th percentile of latency.
    ///
    /// # Errors
    /// Drawing failed.
    pub(super) fn draw(&self) -> Result<String> {
        let names: Vec<_> = self.rows().map(|(condition, class, _)| format!("{}, {condition}", class.name)).collect();
        let values = |value: fn(&LoadReport) -> f64| {
            let values = self.rows().map(|(_, class, _)| value(&class.load));
            names.iter().map(String::as_str).zip(values).collect::<Vec<_>>()
        };
        let mut picture = String::new();
        {
            let size = (2 * WIDTH, line_height(names.len()));
            let area = SVGBackend::with_string(&mut picture, size).into_drawing_area();
            area.fill(&WHITE).map_err(failed)?;
            let (left, right) = area.split_horizontally(WIDTH);
            bars(&left, "requests/s", &values(|load| load.requests_per_second), 0)?;
            bars(&right, "99 % answered within ms", &values(|load| load.latency_us.p99 / 1e3), 1)?;
            area.present().map_err(failed)?;
        }
        Ok(picture)
    }
}

/// As text in Markdown, which can be pasted into a document.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { requests, served_most, waiting_most, .. } = self.origin;
        writeln!(f, "The origin serves {:.0} requests/s; Linux {}.\n", self.capacity, kernel())?;
        let mut table = Table::new(&[
            "class, condition",
            "offered/s",
            "answered/s",
            "share %",
            "p50 ms",
            "p99 ms",
            "refused",
            "unfinished",
            "other errors",
        ]);
        for (condition, Class { name, offered, load }, share) in self.rows() {
            table.add([
                format!("{name}, {condition}"),
                format!("{offered:.0}"),
                format!("{:.0}", load.requests_per_second),
                format!("{:.1}", share * 100.0),
                format!("{:.1}", load.latency_us.p50 / 1e3),
                format!("{:.1}", load.latency_us.p99 / 1e3),
                load.errors.status.to_string(),
                load.unfinished.to_string(),
                (load.errors.total() - load.errors.status).to_string(),
            ]);
        }
        write!(
            f,
            "{table}\nThe origin saw {requests} requests, at most {served_most} at once with {waiting_most} waiting.\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::report as load;

    fn example() -> Report {
        let class = |name, rate| Class { name, offered: 2.0 * rate, load: load(rate, 1.0) };
        let together = vec![class("gold", 600.0), class("silver", 300.0), class("bronze", 100.0)];
        let origin = Counts { requests: 7, served_most: 3, waiting_most: 2, ..Counts::default() };
        Report { capacity: 1000.0, alone: vec![class("gold", 640.0)], together, origin }
    }

    #[test]
    fn shares_are_of_what_was_answered_in_the_same_condition() {
        let value = example().to_json();
        let shares: Vec<_> = value["classes"].as_array().unwrap().iter().map(|class| class["share"].clone()).collect();
        assert_eq!(shares, [1.0, 0.6, 0.3, 0.1]);
        assert_eq!((&value["schema"], &value["origin"]["waiting"]), (&json!(SCHEMA), &json!(2)));
        assert_eq!(value["classes"][1]["load"]["requests"], 400);
    }

    #[test]
    fn text_and_picture_name_every_class_and_condition() {
        let (text, picture) = (example().to_string(), example().draw().unwrap());
        for name in ["gold, alone", "gold, overload", "silver, overload", "bronze, overload"] {
            assert!(text.contains(name) && picture.contains(name), "{name} is missing in\n{text}");
        }
        assert!(text.contains("at most 3 at once with 2 waiting"));
    }
}
