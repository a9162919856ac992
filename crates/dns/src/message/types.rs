//! Numbers that IANA assigns: types, classes, opcodes, codes of responses and extended errors.

use std::fmt;
use std::str::FromStr;

/// Text that is neither a mnemonic nor a number in the generic form (`TYPE65280`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownNumber;

impl fmt::Display for UnknownNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither a known mnemonic nor a number in the generic form")
    }
}

impl std::error::Error for UnknownNumber {}

/// Defines a type around an integer, with a constant and a mnemonic for each number that has a name. Other numbers are
/// as good: they are written as the generic prefix and their digits.
macro_rules! numbers {
    (
        $(#[$doc:meta])*
        $name:ident($integer:ty), $generic:literal {
            $($(#[$constant_doc:meta])* $constant:ident = $value:literal, $mnemonic:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $integer);

        impl $name {
            $($(#[$constant_doc])* pub const $constant: $name = $name($value);)*

            const MNEMONICS: &[($name, &str)] = &[$(($name::$constant, $mnemonic)),*];

            /// The mnemonic, if it has one.
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($mnemonic),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            /// The mnemonic, or the generic form (RFC 3597 §5 for types and classes).
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.mnemonic() {
                    Some(text) => f.pad(text),
                    None => f.pad(&format!(concat!($generic, "{}"), self.0)),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = UnknownNumber;

            /// A mnemonic or the generic form, in either case.
            fn from_str(text: &str) -> Result<$name, UnknownNumber> {
                let known = $name::MNEMONICS.iter().find(|(_, mnemonic)| text.eq_ignore_ascii_case(mnemonic));
                if let Some((number, _)) = known {
                    return Ok(*number);
                }
                generic(text, $generic).and_then(|digits| digits.parse().ok()).map($name).ok_or(UnknownNumber)
            }
        }
    };
}

/// The digits behind `prefix`, in either case.
fn generic<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (front, digits) = text.split_at_checked(prefix.len())?;
    // Parsing alone would take a sign.
    (front.eq_ignore_ascii_case(prefix) && digits.bytes().all(|octet| octet.is_ascii_digit())).then_some(digits)
}

numbers! {
    /// The type of a record or a question.
    Type(u16), "TYPE" {
        /// An IPv4 address.
        A = 1, "A";
        /// A name server.
        NS = 2, "NS";
        /// An alias.
        CNAME = 5, "CNAME";
        /// The start of a zone of authority.
        SOA = 6, "SOA";
        /// A mailbox (experimental).
        MB = 7, "MB";
        /// A mail group member (experimental).
        MG = 8, "MG";
        /// A mail rename (experimental).
        MR = 9, "MR";
        /// A well-known service.
        WKS = 11, "WKS";
        /// A pointer to another name.
        PTR = 12, "PTR";
        /// Host information.
        HINFO = 13, "HINFO";
        /// Mailbox information.
        MINFO = 14, "MINFO";
        /// A mail exchange.
        MX = 15, "MX";
        /// Text.
        TXT = 16, "TXT";
        /// A responsible person.
        RP = 17, "RP";
        /// An AFS data base.
        AFSDB = 18, "AFSDB";
        /// A signature of a whole message (RFC 2931).
        SIG = 24, "SIG";
        /// An IPv6 address.
        AAAA = 28, "AAAA";
        /// A location.
        LOC = 29, "LOC";
        /// A service's place.
        SRV = 33, "SRV";
        /// A naming authority pointer.
        NAPTR = 35, "NAPTR";
        /// A key exchanger.
        KX = 36, "KX";
        /// A certificate.
        CERT = 37, "CERT";
        /// An alias of a subtree (RFC 6672).
        DNAME = 39, "DNAME";
        /// The pseudo-record of EDNS (RFC 6891).
        OPT = 41, "OPT";
        /// Address prefixes.
        APL = 42, "APL";
        /// A delegation's signer.
        DS = 43, "DS";
        /// An SSH key's fingerprint.
        SSHFP = 44, "SSHFP";
        /// An IPsec key.
        IPSECKEY = 45, "IPSECKEY";
        /// A signature.
        RRSIG = 46, "RRSIG";
        /// What comes next in a signed zone.
        NSEC = 47, "NSEC";
        /// A zone's key.
        DNSKEY = 48, "DNSKEY";
        /// A DHCP identifier.
        DHCID = 49, "DHCID";
        /// What comes next, hashed.
        NSEC3 = 50, "NSEC3";
        /// How names are hashed.
        NSEC3PARAM = 51, "NSEC3PARAM";
        /// A certificate for TLS.
        TLSA = 52, "TLSA";
        /// A certificate for S/MIME.
        SMIMEA = 53, "SMIMEA";
        /// A host's identity.
        HIP = 55, "HIP";
        /// A child's DS.
        CDS = 59, "CDS";
        /// A child's key.
        CDNSKEY = 60, "CDNSKEY";
        /// An OpenPGP key.
        OPENPGPKEY = 61, "OPENPGPKEY";
        /// A child's synchronisation.
        CSYNC = 62, "CSYNC";
        /// A zone's digest.
        ZONEMD = 63, "ZONEMD";
        /// A service binding.
        SVCB = 64, "SVCB";
        /// A service binding of HTTP.
        HTTPS = 65, "HTTPS";
        /// Who may send mail (obsolete).
        SPF = 99, "SPF";
        /// A hardware address of 48 bits.
        EUI48 = 108, "EUI48";
        /// A hardware address of 64 bits.
        EUI64 = 109, "EUI64";
        /// A signature of a whole message, with a shared secret (RFC 8945).
        TSIG = 250, "TSIG";
        /// Transfer of changes.
        IXFR = 251, "IXFR";
        /// Transfer of a zone.
        AXFR = 252, "AXFR";
        /// Everything, or what the server likes (RFC 8482).
        ANY = 255, "ANY";
        /// A resource's place.
        URI = 256, "URI";
        /// Who may issue certificates.
        CAA = 257, "CAA";
    }
}

numbers! {
    /// The class of a record or a question.
    Class(u16), "CLASS" {
        /// The Internet.
        IN = 1, "IN";
        /// Chaosnet, of which servers answer about themselves.
        CH = 3, "CH";
        /// Hesiod.
        HS = 4, "HS";
        /// None (RFC 2136).
        NONE = 254, "NONE";
        /// Any.
        ANY = 255, "ANY";
    }
}

numbers! {
    /// What a message asks for.
    Opcode(u8), "OPCODE" {
        /// An answer to a question.
        QUERY = 0, "QUERY";
        /// The status of the server.
        STATUS = 2, "STATUS";
        /// A zone has changed.
        NOTIFY = 4, "NOTIFY";
        /// A zone is to be changed.
        UPDATE = 5, "UPDATE";
    }
}

numbers! {
    /// How a question was answered; above 15 only with EDNS (RFC 6891 §6.1.3).
    Rcode(u16), "RCODE" {
        /// It was.
        NOERROR = 0, "NOERROR";
        /// It could not be read.
        FORMERR = 1, "FORMERR";
        /// The server failed.
        SERVFAIL = 2, "SERVFAIL";
        /// There is no such name.
        NXDOMAIN = 3, "NXDOMAIN";
        /// The server does no such thing.
        NOTIMP = 4, "NOTIMP";
        /// The server does not want to.
        REFUSED = 5, "REFUSED";
        /// A name exists when it should not: an over-long DNAME substitution (RFC 6672 §2.2).
        YXDOMAIN = 6, "YXDOMAIN";
        /// The server has no authority.
        NOTAUTH = 9, "NOTAUTH";
        /// EDNS of a version that the server does not know.
        BADVERS = 16, "BADVERS";
        /// The server cookie is missing or wrong (RFC 7873).
        BADCOOKIE = 23, "BADCOOKIE";
    }
}

numbers! {
    /// Why an answer is what it is (RFC 8914 §4).
    ExtendedError(u16), "EDE" {
        /// Something else.
        OTHER = 0, "Other";
        /// It has expired (RFC 8767).
        STALE_ANSWER = 3, "Stale Answer";
        /// It was made up, as the operator wants.
        FORGED_ANSWER = 4, "Forged Answer";
        /// The failure is remembered (RFC 9520).
        CACHED_ERROR = 13, "Cached Error";
        /// The server does not serve yet, or no more.
        NOT_READY = 14, "Not Ready";
        /// The operator forbids the name.
        BLOCKED = 15, "Blocked";
        /// The client may not ask.
        PROHIBITED = 18, "Prohibited";
        /// That there is no such name has expired.
        STALE_NXDOMAIN = 19, "Stale NXDOMAIN Answer";
        /// The server has no authority for the name.
        NOT_AUTHORITATIVE = 20, "Not Authoritative";
        /// The server does no such thing.
        NOT_SUPPORTED = 21, "Not Supported";
        /// No backend could be reached.
        NO_REACHABLE_AUTHORITY = 22, "No Reachable Authority";
        /// The network failed.
        NETWORK_ERROR = 23, "Network Error";
        /// What came back was no answer.
        INVALID_DATA = 24, "Invalid Data";
    }
}

impl Type {
    /// Whether no data have it: it is for questions, or for the message (RFC 6895 §3.1).
    pub const fn is_meta(self) -> bool {
        matches!(self.0, 0 | 41 | 128..=255)
    }
}

impl Default for Rcode {
    /// [`Rcode::NOERROR`].
    fn default() -> Rcode {
        Rcode::NOERROR
    }
}
