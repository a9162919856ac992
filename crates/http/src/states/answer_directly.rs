//! Answers what needs neither cache nor file: OPTIONS, redirects, listings.

use afpa_engine::{Context, Outcome};

use super::respond::{Answered, answer_page};
use crate::access_log::CacheOutcome;
use crate::module::{Answer, Http};
use crate::syntax::response::{self, ALLOW};
use crate::table::READY;
