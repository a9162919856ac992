//! Answers a question from a zone (RFC 1034 §4.3.2).

use super::data::targets;
use super::denial::Proofs;
use super::lookup::Found;
use super::sets::{BELOW, CUT, DNAME, Set, WILDCARD, Zone};
use crate::message::{Class, Full, Name, NameBuffer, Question, Rcode, Section, Type, Writer, flag};

/// Aliases that are followed; then the answer ends with the last.
const MAX_CHAIN: usize = 16;
/// Targets whose addresses are added, beyond those that a referral needs.
const MAX_TARGETS: usize = 32;

/// How a question was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The response code, which the header has too.
    pub rcode: Rcode,
    /// Whether TC is set: something that the answer needs did not fit.
    pub truncated: bool,
    /// Whether AA is set: the zone has authority for the name. If not, the answer is a referral.
    pub authoritative: bool,
    /// If a wildcard answers the question's own name: the octets of the name right above the wildcard, which are the
    /// last of the question's. All names that the wildcard makes have these in common.
    pub wildcard_parent: Option<u8>,
}

impl Zone {
    /// Answers `question`, the name of which is within the zone, into `writer`, which has the question already and
    /// keeps free what the caller adds. Sets AA, TC and the response code in the header. Nothing is allocated.
    ///
    /// Choices where standards leave one: ANY is answered with the smallest RRset (RFC 8482 §4.1). The NS records of
    /// the zone are not added to answers. Addresses in the zone are added for NS, MX, KX, SRV, SVCB and HTTPS.
    pub fn answer(&self, question: &Question<'_>, dnssec_ok: bool, writer: &mut Writer<'_>) -> Answered {
        let mut response = Response {
            zone: self,
            question,
            dnssec_ok,
            writer,
            rcode: Rcode::NOERROR,
            authoritative: true,
            wildcard_parent: None,
            proofs: Proofs::default(),
            renamed: Renamed::default(),
        };
        let truncated = response.fill().is_err();
        let Response { rcode, authoritative, wildcard_parent, .. } = response;
        let header = writer.header();
        header.flags &= !(flag::AA | flag::TC | 0xf);
        header.flags |= rcode.0 & 0xf;
        header.flags |= if truncated { flag::TC } else { 0 };
        header.flags |= if authoritative { flag::AA } else { 0 };
        Answered { rcode, truncated, authoritative, wildcard_parent }
    }
}

/// An answer in the making. What it needs is written first; when that does not fit, [`Full`] ends it.
struct Response<'a, 'w, 'o> {
    zone: &'a Zone,
    question: &'a Question<'a>,
    dnssec_ok: bool,
    writer: &'w mut Writer<'o>,
    rcode: Rcode,
    authoritative: bool,
    wildcard_parent: Option<u8>,
    proofs: Proofs,
    renamed: Renamed,
}

/// What one step towards the answer leads to.
enum Step<'a> {
    /// To an alias's target.
    Alias(Name<'a>),
    /// To a DNAME above the name.
    Rename(u32),
    /// To records; those that may have targets.
    Positive(Option<&'a Set>),
    /// To nothing.
    Negative,
    /// To a cut.
    Referral(u32),
}

/// The names from the question's to the one that is looked for, through aliases.
struct Way<'n> {
    name: Name<'n>,
    before: Option<&'n Way<'n>>,
    aliases: usize,
}

impl<'n> Way<'n> {
    /// The way on to an alias's target; `None` if that is too far, or back.
    fn on(&'n self, name: Name<'n>) -> Option<Way<'n>> {
        let is_back = std::iter::successors(Some(self), |way| way.before).any(|way| way.name == name);
        let goes_on = self.aliases < MAX_CHAIN && !is_back;
        goes_on.then_some(Way { name, before: Some(self), aliases: self.aliases + 1 })
    }
}

impl<'a> Response<'a, '_, '_> {
    fn fill(&mut self) -> Result<(), Full> {
        self.follow(&Way { name: self.question.name, before: None, aliases: 0 })
    }

    fn follow(&mut self, way: &Way<'_>) -> Result<(), Full> {
        match self.step(way.name)? {
            Step::Alias(target) => self.go_on(way, target),
            Step::Rename(node) => self.rename(node, way),
            Step::Positive(set) => {
                self.write_proofs()?;
                if let Some(set) = set {
                    self.addresses_of_targets(set, way.name);
                }
                Ok(())
            }
            Step::Negative => {
                self.set(Section::Authority, self.apex(), self.zone.soa(), self.zone.negative_ttl)?;
                self.write_proofs()
            }
            Step::Referral(cut) => self.referral(cut, way.name),
        }
    }

    /// Goes on to an alias's target, if that is in the zone.
    fn go_on(&mut self, way: &Way<'_>, target: Name<'_>) -> Result<(), Full> {
        let on = if target.is_within(self.zone.apex()) { way.on(target) } else { None };
        match on {
            Some(way) => self.follow(&way),
            None => self.write_proofs(),
        }
    }

    fn step(&mut self, name: Name<'_>) -> Result<Step<'a>, Full> {
        let zone = self.zone;
        match zone.find(name) {
            Found::Exactly(node) => match zone.cut(node) {
                // RFC 4035 §3.1.4.1: the DS at a cut is the parent's.
                Some(cut) if cut != node || self.question.qtype != Type::DS => Ok(Step::Referral(cut)),
                _ => self.at_node(node, None, name),
            },
            Found::Below(encloser) => {
                let flags = zone.flags(encloser);
                let cut = if flags & (CUT | BELOW) > 0 { zone.cut(encloser) } else { None };
                if let Some(cut) = cut {
                    return Ok(Step::Referral(cut));
                }
                if flags & DNAME > 0 {
                    return Ok(Step::Rename(encloser));
                }
                let wildcard = if flags & WILDCARD > 0 { zone.wildcard(encloser) } else { None };
                match wildcard {
                    Some(wildcard) => {
                        if name == self.question.name {
                            self.wildcard_parent =
                                Some(zone.name(&zone.nodes[encloser as usize]).as_wire().len() as u8);
                        }
                        self.at_node(wildcard, Some(encloser), name)
                    }
                    None => {
                        // RFC 6604 §3: also if an alias led here.
                        self.rcode = Rcode::NXDOMAIN;
                        self.prove(|proofs| zone.deny_name(encloser, name, proofs));
                        Ok(Step::Negative)
                    }
                }
            }
        }
    }

    /// Answers `name` from `node`: its own, or the wildcard below `encloser` (RFC 4592 §3.3).
    fn at_node(&mut self, node: u32, encloser: Option<u32>, name: Name<'_>) -> Result<Step<'a>, Full> {
        let zone = self.zone;
        let qtype = self.question.qtype;
        let found = match qtype {
            Type::ANY => zone.smallest_set(node),
            Type::RRSIG if self.all_signatures(node, name)? => {
                self.prove_expansion(encloser, name);
                return Ok(Step::Positive(None));
            }
            qtype => zone.set(node, qtype),
        };
        if let Some(set) = found {
            self.set(Section::Answer, name, set, set.ttl)?;
            self.prove_expansion(encloser, name);
            return Ok(Step::Positive(Some(set)));
        }
        if let Some(alias) = zone.set(node, Type::CNAME) {
            self.set(Section::Answer, name, alias, alias.ttl)?;
            self.prove_expansion(encloser, name);
            return Ok(Step::Alias(zone.target(alias)));
        }
        self.prove(|proofs| match encloser {
            Some(encloser) => zone.deny_wildcard_type(encloser, node, name, proofs),
            None => zone.deny_type(node, name, proofs),
        });
        Ok(Step::Negative)
    }

    /// Moves the name to below the target of the DNAME at `node` (RFC 6672 §3.2).
    fn rename(&mut self, node: u32, way: &Way<'_>) -> Result<(), Full> {
        let (zone, name) = (self.zone, way.name);
        let Some(set) = zone.set(node, Type::DNAME) else { return Ok(()) };
        let owner = suffix(name, zone.name(&zone.nodes[node as usize]).as_wire().len());
        if self.renamed.add(node) {
            self.set(Section::Answer, owner, set, set.ttl)?;
        }
        let mut moved = NameBuffer::default();
        if !moved.set_moved(name, owner, zone.target(set)) {
            self.rcode = Rcode::YXDOMAIN;
            return self.write_proofs();
        }
        // RFC 6672 §3.1: with the TTL of the DNAME.
        let target = moved.as_name();
        self.writer.record(Section::Answer, name, Type::CNAME, Class::IN, set.ttl, target.as_wire())?;
        if self.question.qtype == Type::CNAME { self.write_proofs() } else { self.go_on(way, target) }
    }

    /// NS, DS or its absence, and the addresses of name servers (RFC 1034 §4.3.2 step 3b, RFC 4035 §3.1.4).
    fn referral(&mut self, cut: u32, name: Name<'_>) -> Result<(), Full> {
        let zone = self.zone;
        let cut_name = suffix(name, zone.name(&zone.nodes[cut as usize]).as_wire().len());
        // RFC 1035 §4.1.1: AA is about the first owner, which an alias that led here is.
        self.authoritative = self.writer.counts()[1] > 0;
        let Some(servers) = zone.set(cut, Type::NS) else { return Ok(()) };
        // The NS records at a cut are the child's: not signed here (RFC 4035 §2.2).
        self.set(Section::Authority, cut_name, servers, servers.ttl)?;
        // In a zone that is not signed a DS proves nothing.
        if self.dnssec_ok && zone.is_signed() {
            match zone.set(cut, Type::DS) {
                Some(signers) => self.set(Section::Authority, cut_name, signers, signers.ttl)?,
                None => self.prove(|proofs| zone.deny_type(cut, cut_name, proofs)),
            }
        }
        self.write_proofs()?;
        // RFC 9471 §3: addresses below the cut are needed; those elsewhere in the zone help.
        for is_needed in [true, false] {
            for data in zone.records(servers) {
                let Ok(target) = Name::read(data) else { continue };
                if target.is_within(cut_name) != is_needed || !target.is_within(zone.apex()) {
                    continue;
                }
                if let Found::Exactly(node) = zone.find(target) {
                    let written = self.addresses(node, target);
                    if is_needed {
                        written?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the addresses of what `set`'s records name, as far as they fit (RFC 1034 §4.3.2 step 6).
    fn addresses_of_targets(&mut self, set: &Set, owner: Name<'_>) {
        let zone = self.zone;
        let Some(at) = targets(set.rtype) else { return };
        let (mut added, mut count) = ([0; MAX_TARGETS], 0);
        for data in zone.records(set) {
            let Some(Ok(mut target)) = data.get(at..).map(Name::read) else { continue };
            // RFC 9460 §2.5.2: "." is the owner itself.
            if target.is_root() && matches!(set.rtype, Type::SVCB | Type::HTTPS) {
                target = owner;
            }
            if !target.is_within(zone.apex()) {
                continue;
            }
            let Found::Exactly(node) = zone.find(target) else { continue };
            let is_glue = zone.cut(node).is_some();
            if added[..count].contains(&node) || is_glue && set.rtype != Type::NS {
                continue;
            }
            if count == MAX_TARGETS {
                return;
            }
            (added[count], count) = (node, count + 1);
            // What does not fit is left out (RFC 2181 §9).
            let _ = self.addresses(node, target);
        }
    }

    fn addresses(&mut self, node: u32, name: Name<'_>) -> Result<(), Full> {
        let zone = self.zone;
        for rtype in [Type::A, Type::AAAA] {
            if let Some(set) = zone.set(node, rtype) {
                self.set(Section::Additional, name, set, set.ttl)?;
            }
        }
        Ok(())
    }

    /// Writes an RRset, with its signatures if they are wanted; whole or not at all (RFC 2181 §9).
    fn set(&mut self, section: Section, owner: Name<'_>, set: &Set, ttl: u32) -> Result<(), Full> {
        let zone = self.zone;
        let mark = self.writer.mark();
        let count = usize::from(set.count) + if self.dnssec_ok { usize::from(set.signatures) } else { 0 };
        for (index, data) in zone.records_and_signatures(set).take(count).enumerate() {
            let rtype = if index < usize::from(set.count) { set.rtype } else { Type::RRSIG };
            if let Err(Full) = self.writer.record(section, owner, rtype, Class::IN, ttl, data) {
                self.writer.rewind(mark);
                return Err(Full);
            }
        }
        Ok(())
    }

    /// Writes all signatures of a name. Returns whether there are any.
    fn all_signatures(&mut self, node: u32, name: Name<'_>) -> Result<bool, Full> {
        let zone = self.zone;
        let mark = self.writer.mark();
        let mut any = false;
        for set in zone.sets_of(&zone.nodes, node) {
            for data in zone.signatures(set) {
                any = true;
                if let Err(Full) = self.writer.record(Section::Answer, name, Type::RRSIG, Class::IN, set.ttl, data) {
                    self.writer.rewind(mark);
                    return Err(Full);
                }
            }
        }
        Ok(any)
    }

    fn prove(&mut self, add: impl FnOnce(&mut Proofs)) {
        if self.dnssec_ok {
            add(&mut self.proofs);
        }
    }

    fn prove_expansion(&mut self, encloser: Option<u32>, name: Name<'_>) {
        let zone = self.zone;
        if let Some(encloser) = encloser {
            self.prove(|proofs| zone.deny_closer_match(encloser, name, proofs));
        }
    }

    fn write_proofs(&mut self) -> Result<(), Full> {
        let zone = self.zone;
        for index in 0..self.proofs.places().len() {
            let place = self.proofs.places()[index];
            if let Some((node, set)) = zone.proof(place) {
                self.set(Section::Authority, self.as_asked(zone.name(node)), set, set.ttl)?;
            }
        }
        Ok(())
    }

    fn apex(&self) -> Name<'a> {
        self.as_asked(self.zone.apex())
    }

    /// `name` in the letter case of the question, if it is a part of that: then it is compressed.
    fn as_asked(&self, name: Name<'a>) -> Name<'a> {
        let asked = self.question.name;
        if asked.is_within(name) { suffix(asked, name.as_wire().len()) } else { name }
    }
}

/// The last `len` octets of a name, which are one.
fn suffix(name: Name<'_>, len: usize) -> Name<'_> {
    let wire = name.as_wire();
    Name::kept(&wire[wire.len().saturating_sub(len)..])
}

/// The nodes whose DNAME is in the answer.
#[derive(Default)]
struct Renamed {
    nodes: [u32; MAX_CHAIN + 1],
    count: usize,
}

impl Renamed {
    /// Returns whether `node` is new.
    fn add(&mut self, node: u32) -> bool {
        let is_new = !self.nodes[..self.count].contains(&node) && self.count < self.nodes.len();
        if is_new {
            self.nodes[self.count] = node;
            self.count += 1;
        }
        is_new
    }
}

impl Zone {
    /// The name that the data of the set's first record start with.
    fn target(&self, set: &Set) -> Name<'_> {
        self.records(set).next().and_then(|data| Name::read(data).ok()).unwrap_or(Name::ROOT)
    }

    /// The answer to ANY.
    fn smallest_set(&self, node: u32) -> Option<&Set> {
        let sets = self.sets_of(&self.nodes, node).iter().filter(|set| set.count > 0);
        let size = |set: &Set| self.records(set).map(|data| data.len() + 12).sum::<usize>();
        // Who asks for everything does not mean the denial of the rest.
        sets.min_by_key(|set| (set.rtype == Type::NSEC, size(set)))
    }
}
