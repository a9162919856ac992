//! Makes zones with what makes answers interesting.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use afpa_dns::message::{Name, NameBuf};
use afpa_dns::zone::Zone;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signing {
    None,
    Nsec,
    Nsec3,
    OptOut,
}

pub(crate) struct ZoneFile {
    pub(crate) apex: NameBuf,
    pub(crate) path: PathBuf,
}

/// Writes a zone, signed as asked.
pub(crate) fn zone(directory: &Path, signing: Signing, seed: u64) -> ZoneFile {
    let name = format!("{signing:?}.test").to_lowercase();
    let path = directory.join(format!("{name}.zone"));
    std::fs::write(&path, text(&name, seed)).unwrap();
    let path = if signing == Signing::None { path } else { sign(directory, &name, &path, signing) };
    ZoneFile { apex: name.parse().unwrap(), path }
}

/// Data of types of which an answer shows how they were read.
const DATA: &[&str] = &[
    "LOC 42 21 54.5 N 71 06 18 W -24m 30m 10.5m",
    "LOC 0 S 180 E 1.05",
    "LOC 52 14 05 N 00 08 50 E 10m 90000000m 2000m 0.05m",
    "NAPTR 100 50 \"s\" \"http+I2L+I2C+I2R\" \"!^.*$!\\\\1!i\" _http._tcp.gatech.edu.",
    "CERT PGP 0 0 AQIDBAU=",
    "CERT 1 65535 RSASHA256 AQ ID BA==",
    "SSHFP 2 1 123456789abcdef67890123456789abcdef67890",
    "TLSA 3 1 1 00ff 00FF",
    "SMIMEA 3 0 0 308201",
    "CAA 128 issuewild \"ca.example.net; account=230123\"",
    "URI 10 1 \"ftp://ftp1.example.com/public\"",
    "APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:FF00::/8 1:0.0.0.0/0",
    "HINFO \"a b\" c\\032d\\\"",
    "RP host txt.elsewhere.",
    "DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
    "OPENPGPKEY AQIDBAUG",
    "CSYNC 66 3 A NS AAAA TYPE65280",
    "ZONEMD 2018031500 1 2 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE\
     7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE0102030405060708",
    "TYPE65280 \\# 5 01 02 0304 05",
    "TXT \"semi;colon\" par(en\n)s \"\\000\\255\" 7",
    "SVCB 16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1,192.0.2.2 port=8004",
    "HTTPS 1 h3pool alpn=h2,h3 ech=\"AQIDBA==\" ipv6hint=2001:db8::1 key667=\"hello\\210qoo\" no-default-alpn",
    "HTTPS 0 pool.svc",
    "SPF \"v=spf1 -all\"",
    "PTR Upper.Case",
    "MINFO a b.",
    "CDS 60485 RSASHA1 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    "CDNSKEY 257 3 13 AQIDBA==",
];

/// Numbers that look random, the same for the same seed (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    pub(crate) fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

pub(crate) fn text(name: &str, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = format!(
        "$ORIGIN {name}.\n$TTL 3600\n@ SOA ns1 host.master 7 7200 3600 86400 600\n@ NS ns1\n@ NS ns2.sub0\n\
         @ NS ns.elsewhere.\nns1 A 192.0.2.1\nns1 AAAA 2001:db8::1\n@ MX 10 mail\n@ MX 20 mail.sub1\n\
         @ TXT \"the zone\"\n\
         mail A 192.0.2.25\n\
         *.wild A 192.0.2.99\n*.wild TXT \"wild\"\nreal.wild A 192.0.2.98\n*.alias CNAME ns1\n\
         below.ent.wild A 192.0.2.97\n\
         *.away CNAME www.elsewhere.\n*.mx MX 5 mail\n\
         deep.empty.non.terminal A 192.0.2.50\n\
         loop1 CNAME loop2\nloop2 CNAME loop1\nself CNAME self\nout CNAME www.elsewhere.\ndangling CNAME nowhere\n\
         tochild CNAME www.sub0\ntowild CNAME any.wild\ntoent CNAME non.terminal\n\
         dname DNAME moved\na.moved A 192.0.2.60\n*.b.moved A 192.0.2.61\nc.moved CNAME x.dname\n\
         away.d DNAME elsewhere.\n\
         chain0 CNAME a.dname\n\
         _sip._udp SRV 1 2 5060 ns1\n_sip._udp SRV 2 2 5060 mail\n_sip._tcp SRV 1 1 5060 host1\n\
         svc SVCB 1 . port=853\nsvc A 192.0.2.77\nhttps HTTPS 1 mail alpn=h2,h3\nkx KX 5 mail\nafsdb AFSDB 1 mail\n"
    );
    for (number, data) in DATA.iter().enumerate() {
        writeln!(text, "data{number} {data}").unwrap();
    }
    for host in 0..12 {
        writeln!(text, "host{host} {} A 192.0.2.{}", 60 * (1 + random.below(5)), 100 + host).unwrap();
        if random.below(2) == 0 {
            writeln!(text, "host{host} AAAA 2001:db8::{host}").unwrap();
        }
        if random.below(4) == 0 {
            writeln!(text, "host{host} TXT \"t{host}\" \"u\"").unwrap();
        }
    }
    for alias in 1..6 {
        writeln!(text, "chain{alias} CNAME chain{}", alias - 1).unwrap();
    }
    for sub in 0..6 {
        let parent = random.pick(&["", "", ".host3", ".deep.empty.non.terminal", ".below"]);
        writeln!(text, "sub{sub}{parent} NS ns.sub{sub}{parent}").unwrap();
        writeln!(text, "ns.sub{sub}{parent} A 192.0.2.{}", 200 + sub).unwrap();
        writeln!(
            text,
            "sub{sub}{parent} NS {}",
            random.pick(&["ns1", "ns.elsewhere.", "ns2.sub0", "host1", "ns.sub1"])
        )
        .unwrap();
        if random.below(2) == 0 {
            writeln!(text, "ns.sub{sub}{parent} AAAA 2001:db8::{sub}:1").unwrap();
        }
        if random.below(2) == 0 {
            let digest = "2BB183AF5F22588179A53B0A98631FAD1A292118";
            writeln!(text, "sub{sub}{parent} DS 6053{sub} 5 1 {digest}").unwrap();
        }
    }
    text.push_str("glued NS glued\nglued A 192.0.2.240\nns2.sub0 A 192.0.2.241\nmail.sub1 A 192.0.2.242\n");
    text
}

fn sign(directory: &Path, name: &str, path: &Path, signing: Signing) -> PathBuf {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let key = run("ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", name]);
    let path = path.to_str().unwrap();
    let signed = format!("{path}.signed");
    let mut arguments = vec!["-f", &signed];
    match signing {
        Signing::None | Signing::Nsec => {}
        Signing::Nsec3 => arguments.extend(["-n", "-t", "3", "-s", "abcd"]),
        Signing::OptOut => arguments.extend(["-n", "-p", "-t", "0"]),
    }
    arguments.extend([path, &key]);
    run("ldns-signzone", &arguments);
    signed.into()
}

/// The names of a zone, their children, siblings before and after, and names deeply below.
pub(crate) fn questions(zone: &Zone) -> BTreeSet<NameBuf> {
    let mut names = BTreeSet::new();
    for record in zone.transfer() {
        for name in record.owner.ancestors().take_while(|name| name.is_within(zone.apex())) {
            names.insert(name.to_owned());
        }
    }
    for name in names.clone() {
        let name = name.as_name();
        if name.as_wire()[0] == 32 {
            continue;
        }
        for label in [&b"x"[..], b"a", b"*", b"zzz"] {
            names.extend(NameBuf::prepend(label, name));
        }
        names.extend(NameBuf::prepend(b"y", name).and_then(|below| NameBuf::prepend(b"X", below.as_name())));
        if name != zone.apex() {
            let parent = name.parent().unwrap();
            let label = name.labels().next().unwrap();
            names.extend(NameBuf::prepend(&[label, b"0"].concat(), parent));
            names.extend(NameBuf::prepend(&[b"-", label].concat(), parent));
        }
    }
    let long = vec![b'l'; 63];
    let mut deep: NameBuf = format!("dname.{}", zone.apex()).parse().unwrap();
    while let Some(longer) = NameBuf::prepend(&long, deep.as_name()) {
        deep = longer;
    }
    let room = 255 - deep.as_name().as_wire().len();
    names.extend(room.checked_sub(1).and_then(|room| NameBuf::prepend(&long[..room.min(63)], deep.as_name())));
    names.insert(deep);
    names.into_iter().filter(|name| name.as_name() != Name::ROOT).collect()
}
