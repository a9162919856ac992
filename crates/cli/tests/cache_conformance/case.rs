//! What a case consists of: requests, what the origin answers to each, and what must come of it.

/// Who is let down when a case fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// The standard: the cache is wrong.
    Required,
    /// The operator: something could have been answered from the cache, and was not.
    Optimal,
    /// Nobody: it is good to know what the cache does.
    Check,
}

/// Requests for one URL (or for some below it), one after the other.
pub(crate) struct Case {
    /// That of the public suite, so that results can be compared.
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// The cases without which this one says nothing.
    pub(crate) needs: Vec<String>,
    pub(crate) exchanges: Vec<Exchange>,
}

pub(crate) fn required(id: impl Into<String>, exchanges: impl Into<Vec<Exchange>>) -> Case {
    Case { id: id.into(), kind: Kind::Required, needs: Vec::new(), exchanges: exchanges.into() }
}

pub(crate) fn optimal(id: impl Into<String>, exchanges: impl Into<Vec<Exchange>>) -> Case {
    Case { kind: Kind::Optimal, ..required(id, exchanges) }
}

pub(crate) fn check(id: impl Into<String>, exchanges: impl Into<Vec<Exchange>>) -> Case {
    Case { kind: Kind::Check, ..required(id, exchanges) }
}

impl Case {
    pub(crate) fn needs(mut self, id: impl Into<String>) -> Case {
        self.needs.push(id.into());
        self
    }
}

/// A field's value. Text is Latin-1: one character is one octet.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    /// A date, in seconds from the origin's clock as the response concerned has it.
    At(i64),
    /// The same in the form of RFC 850.
    AtInRfc850(i64),
    /// The path of the request, and what follows it.
    Here(&'static str),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// Seconds from the origin's clock.
pub(crate) fn at(seconds: i64) -> Value {
    Value::At(seconds)
}

/// Where a response must come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Anywhere,
    Cache,
    Origin,
    /// From the cache, after the origin was asked with If-None-Match.
    CacheByTag,
    /// From the cache, after the origin was asked with If-Modified-Since.
    CacheByDate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExpectedStatus {
    /// What the origin was to answer: 200, if nothing else is said.
    Scripted,
    Is(u16),
    Any,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExpectedBody {
    /// What the origin was to send.
    Scripted,
    Is(&'static str),
    Any,
}

#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Present,
    Is(Value),
    /// A number above this one.
    Above(i64),
    Missing,
    /// Not this value; missing, or others.
    Not(String),
}

/// A field that the origin sends.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// It must arrive as it is, if the response comes from the origin.
    pub(crate) is_checked: bool,
}

/// Interim responses: the status and the fields of each.
pub(crate) type Interim = Vec<(u16, Vec<(&'static str, &'static str)>)>;

/// One request, its answer, and what is expected.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    /// What follows the case's path, from `/` or `?` on.
    pub(crate) suffix: String,
    pub(crate) request_fields: Vec<(&'static str, Value)>,
    pub(crate) request_body: Option<&'static str>,

    pub(crate) interim: Interim,
    pub(crate) status: Option<(u16, &'static str)>,
    pub(crate) response_fields: Vec<Sent>,
    /// The case's token, if nothing else is said.
    pub(crate) response_body: Option<&'static str>,
    /// Seconds before the origin answers.
    pub(crate) hesitation: u64,
    /// The origin closes the connection instead of an answer.
    pub(crate) is_cut_off: bool,

    /// What fails here fails before the case comes to its point.
    pub(crate) is_preparation: bool,
    /// The client pauses before the next request.
    pub(crate) is_pausing: bool,
    pub(crate) source: Source,
    pub(crate) expected_status: ExpectedStatus,
    pub(crate) expected_body: ExpectedBody,
    pub(crate) expected_fields: Vec<(String, Expected)>,
    pub(crate) expected_interim: Option<Interim>,
    /// What the origin must get.
    pub(crate) forwarded_fields: Vec<(&'static str, &'static str)>,
    pub(crate) forwarded_method: Option<&'static str>,
}

/// A GET that is answered with 200 and the case's token.
pub(crate) fn get() -> Exchange {
    Exchange {
        method: "GET",
        suffix: String::new(),
        request_fields: Vec::new(),
        request_body: None,
        interim: Vec::new(),
        status: None,
        response_fields: Vec::new(),
        response_body: None,
        hesitation: 0,
        is_cut_off: false,
        is_preparation: false,
        is_pausing: false,
        source: Source::Anywhere,
        expected_status: ExpectedStatus::Scripted,
        expected_body: ExpectedBody::Scripted,
        expected_fields: Vec::new(),
        expected_interim: None,
        forwarded_fields: Vec::new(),
        forwarded_method: None,
    }
}

/// A GET whose answer is to be stored, and nothing more.
pub(crate) fn prepare() -> Exchange {
    Exchange { is_preparation: true, ..get() }
}

/// What the client does.
impl Exchange {
    pub(crate) fn method(self, method: &'static str) -> Exchange {
        Exchange { method, ..self }
    }

    pub(crate) fn below(self, suffix: impl Into<String>) -> Exchange {
        Exchange { suffix: suffix.into(), ..self }
    }

    pub(crate) fn asks(mut self, name: &'static str, value: impl Into<Value>) -> Exchange {
        self.request_fields.push((name, value.into()));
        self
    }

    pub(crate) fn sends(self, body: &'static str) -> Exchange {
        Exchange { request_body: Some(body), ..self }
    }

    pub(crate) fn pausing(self) -> Exchange {
        Exchange { is_pausing: true, ..self }
    }
}

/// What the origin does.
impl Exchange {
    pub(crate) fn status(self, code: u16, reason: &'static str) -> Exchange {
        Exchange { status: Some((code, reason)), ..self }
    }

    /// A field that must arrive if the response comes from the origin.
    pub(crate) fn answers(self, name: impl Into<String>, value: impl Into<Value>) -> Exchange {
        self.answering(name, value, true)
    }

    /// A field that may be lost or changed on the way.
    pub(crate) fn answers_loosely(self, name: impl Into<String>, value: impl Into<Value>) -> Exchange {
        self.answering(name, value, false)
    }

    pub(crate) fn answering(mut self, name: impl Into<String>, value: impl Into<Value>, is_checked: bool) -> Exchange {
        self.response_fields.push(Sent { name: name.into(), value: value.into(), is_checked });
        self
    }

    pub(crate) fn body(self, text: &'static str) -> Exchange {
        Exchange { response_body: Some(text), ..self }
    }

    pub(crate) fn interim(mut self, status: u16, fields: &[(&'static str, &'static str)]) -> Exchange {
        self.interim.push((status, fields.to_vec()));
        self
    }

    pub(crate) fn hesitating(self, seconds: u64) -> Exchange {
        Exchange { hesitation: seconds, ..self }
    }

    pub(crate) fn cut_off(self) -> Exchange {
        Exchange { is_cut_off: true, ..self }
    }
}

/// What must come of it.
impl Exchange {
    pub(crate) fn from(self, source: Source) -> Exchange {
        Exchange { source, ..self }
    }

    pub(crate) fn expects_status(self, status: u16) -> Exchange {
        Exchange { expected_status: ExpectedStatus::Is(status), ..self }
    }

    pub(crate) fn expects_any_status(self) -> Exchange {
        Exchange { expected_status: ExpectedStatus::Any, ..self }
    }

    pub(crate) fn expects_text(self, text: &'static str) -> Exchange {
        Exchange { expected_body: ExpectedBody::Is(text), ..self }
    }

    pub(crate) fn expects_any_body(self) -> Exchange {
        Exchange { expected_body: ExpectedBody::Any, ..self }
    }

    pub(crate) fn expects(self, name: impl Into<String>, value: impl Into<Value>) -> Exchange {
        self.expects_field(name, Expected::Is(value.into()))
    }

    pub(crate) fn expects_field(mut self, name: impl Into<String>, expected: Expected) -> Exchange {
        self.expected_fields.push((name.into(), expected));
        self
    }

    /// The interim responses that the origin sends arrive, and no others.
    pub(crate) fn expects_interim(self) -> Exchange {
        Exchange { expected_interim: Some(self.interim.clone()), ..self }
    }

    pub(crate) fn forwards(mut self, name: &'static str, value: &'static str) -> Exchange {
        self.forwarded_fields.push((name, value));
        self
    }

    pub(crate) fn forwards_method(self) -> Exchange {
        Exchange { forwarded_method: Some(self.method), ..self }
    }
}

/// A response that the cache has.
pub(crate) fn cached() -> Exchange {
    get().from(Source::Cache)
}

/// A response that the cache must not have.
pub(crate) fn not_cached() -> Exchange {
    get().from(Source::Origin)
}
