//! `afpa purge`.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::Args;

use crate::units::Malformed;

pub(super) const EXAMPLES: &str = "\
What came from backends is gone from the next request on, however much it is, and files are looked
at again. A URL is purged in all its variants; one without a host, /PATH, at every host. The token
is accelerate.purge-token of the server's configuration; who may list processes sees it on a
command line, not in the variable AFPA_PURGE_TOKEN, which is used if --token is absent.
Exit status: 0 if all was purged, 1 if the server cannot be reached or refuses, 2 if the command
line is wrong.

Examples:
  afpa purge http://www.example.com/news http://www.example.com/news?page=2
  afpa purge --soft --prefix http://www.example.com/news/
  afpa purge --surrogate-key product-7 --admin 127.0.0.1:9191
  afpa purge --field 'Content-Type=text/css'
  afpa purge --all";

/// `afpa purge`.
#[derive(Debug, Args)]
pub struct Purge {
    /// What is taken out
    #[command(flatten)]
    pub subjects: Subjects,
    /// Keep what came from backends, and have it validated before it is used again
    #[arg(long)]
    pub soft: bool,
    /// The admin address of the server
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    pub admin: SocketAddr,
    /// What the server wants to be shown
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// What is taken out: at least one thing.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Subjects {
    /// What is taken out: http://HOST/PATH?QUERY or /PATH?QUERY
    #[arg(value_name = "URL")]
    pub urls: Vec<String>,
    /// Everything whose URL starts so; may be repeated
    #[arg(long = "prefix", value_name = "URL")]
    pub prefixes: Vec<String>,
    /// Everything that backends gave this key in a field Surrogate-Key; may be repeated
    #[arg(long = "surrogate-key", value_name = "KEY")]
    pub surrogate_keys: Vec<String>,
    /// Everything that backends sent with this header field; may be repeated
    #[arg(long = "field", value_name = "NAME=VALUE")]
    pub fields: Vec<FieldValue>,
    /// Everything
    #[arg(long, conflicts_with_all = ["urls", "prefixes", "surrogate_keys", "fields"])]
    pub all: bool,
}

/// A header field and its whole value: `Content-Type=text/css`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue {
    /// Its name.
    pub name: String,
    /// Its value, without blanks around it.
    pub value: String,
}

impl FromStr for FieldValue {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<FieldValue, Malformed> {
        let (name, value) = text.split_once('=').unwrap_or_default();
        if name.is_empty() || name.contains([' ', ':']) || text.contains(char::is_control) {
            return Err(Malformed::new("a header field such as Content-Type=text/css", text));
        }
        Ok(FieldValue { name: name.to_owned(), value: value.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::args::{Arguments, Command};

    fn purge(arguments: &[&str]) -> Option<Purge> {
        let arguments = ["afpa", "purge"].iter().chain(arguments);
        match Arguments::try_parse_from(arguments).ok()?.command {
            Command::Purge(purge) => Some(purge),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_things_at_once() {
        let purge =
            purge(&["/a", "--prefix", "/b/", "http://h/c", "--surrogate-key", "k", "--field", "A=b=c", "--soft"]);
        let Purge { subjects, soft, admin, token } = purge.unwrap();
        assert_eq!((subjects.urls, subjects.prefixes), (vec!["/a".into(), "http://h/c".into()], vec!["/b/".into()]));
        assert_eq!((&*subjects.surrogate_keys, &*subjects.fields[0].value), (&["k".to_owned()][..], "b=c"));
        assert_eq!((soft, admin.port(), token), (true, 9090, None));
    }

    #[test]
    fn everything_or_nothing_is_said_plainly() {
        assert!(purge(&["--all", "--admin", "[::1]:1", "--token", "t"]).unwrap().subjects.all);
        for wrong in [&[][..], &["--soft"], &["--all", "/a"], &["--all", "--prefix", "/"], &["--field", "a"]] {
            assert!(purge(wrong).is_none(), "{wrong:?}");
        }
        for field in ["", "=", "=b", "a", "a b=c", "a=b\nc"] {
            assert!(field.parse::<FieldValue>().is_err(), "{field:?}");
        }
    }
}
