//! How values of routes are written.

use std::path::PathBuf;

use afpa_routing::{HostPattern, Pattern, Template};
use toml::de::DeValue;

use super::Caching;
use crate::config::section::{FromValue, describe, from_text};
use crate::units::ListenAddress;

/// A Unix socket: `unix:/run/app.sock`.
pub(super) struct UnixAddress(pub(super) PathBuf);

impl FromValue for UnixAddress {
    fn from_value(value: &DeValue<'_>) -> Result<UnixAddress, String> {
        let expected = "a Unix socket such as \"unix:/run/app.sock\"";
        match from_text(value, expected) {
            Ok(ListenAddress::Unix(path)) => Ok(UnixAddress(path)),
            _ => Err(format!("expected {expected}, found {}", describe(value))),
        }
    }
}

impl FromValue for Caching {
    fn from_value(value: &DeValue<'_>) -> Result<Caching, String> {
        if value.as_str().is_none() {
            return Err(format!("expected \"off\", \"default\" or the name of a policy, found {}", describe(value)));
        }
        String::from_value(value).map(|word| match word.as_str() {
            "off" => Caching::Off,
            "default" => Caching::Default,
            _ => Caching::Policy(word),
        })
    }
}

impl FromValue for HostPattern {
    fn from_value(value: &DeValue<'_>) -> Result<HostPattern, String> {
        text(value, "a host such as \"example.com\" or \"*.example.com\"")
    }
}

impl FromValue for Pattern {
    fn from_value(value: &DeValue<'_>) -> Result<Pattern, String> {
        text(value, "a regular expression such as \"^/a/(.*)$\"")
    }
}

impl FromValue for Template {
    fn from_value(value: &DeValue<'_>) -> Result<Template, String> {
        text(value, "a text with variables such as \"https://$host$path?$query\"")
    }
}

fn text<T>(value: &DeValue<'_>, expected: &str) -> Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let wrong = || format!("expected {expected}, found {}", describe(value));
    value.as_str().ok_or_else(wrong)?.parse().map_err(|error| format!("{}; {error}", wrong()))
}
