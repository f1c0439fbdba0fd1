//! What a verdict on a record is made of, as far as the index has it.
//!
//! A URI enters, [`Evidence`] leaves: the record, the records that it names, and those that use what should be used once.
//! All of it is a function of the records, so that two indexes of the same repositories give equal evidence. Deliberately
//! absent: judging, and the documents of brokers and exchanges, which no index has.

use rusqlite::{Connection, ToSql, named_params};

use super::RecordView;
use super::record::{FIND_RECORD, did_id};
use crate::block::{Map, Value};
use crate::index::{Fault, IndexError, IndexReader, SingleUse, hosting, key_text, link_key, number_of};
use crate::limits;
use crate::record::Collection;
use crate::syntax::AtUri;
use crate::trust::{Check, Drawn, Evidence, Exhibit, Instant, Looked};

/// The newest provider record of one repository with a key.
pub(super) const FIND_OFFER: &str = "
    select did, record.rkey, cid, verdict, record.time as time, body, :nsid as nsid
      from did
      cross join provider on owner = did.id and key = :key
      cross join record on record.id = provider.record
     where did = :did
     order by provider.rkey desc limit 1";

/// One repository's provider records, malformed ones too, newest key first.
pub(super) const LIST_OFFERS: &str = "
    select :did as did, rkey, cid, verdict, time, body, :nsid as nsid
      from record
     where repo = :repo and collection = :collection
     order by rkey desc limit :limit";

/// The other receipts for a job up to a time, oldest first.
pub(super) const LIST_OF_JOB: &str = "
    select did, record.rkey, cid, verdict, record.time as time, body, :nsid as nsid
      from receipt
      cross join record on record.id = receipt.record
      cross join did on did.id = receipt.provider
     where job = :job and receipt.time <= :until and (receipt.rkey <> :but_rkey or did <> :but_did)
     order by receipt.time, receipt.rkey, did limit :limit";

/// One exchange's settlements for a receipt. There is one, and refunds perhaps; those of others are passed over.
pub(super) const LIST_SETTLED: &str = "
    select :did as did, record.rkey, cid, verdict, record.time as time, body, :nsid as nsid
      from settlement
      cross join record on record.id = settlement.record and record.repo = :repo
     where receipt = :receipt
     order by settlement.rkey limit :limit";

/// Who else uses what should be used once, oldest key first.
pub(super) const LIST_SHARING: &str = "
    select did, record.rkey, cid, verdict, record.time as time, body, nsid
      from single_use
      cross join record on record.id = single_use.record
      cross join collection on collection.id = record.collection
      cross join did on did.id = record.repo
     where mark = :mark and (single_use.rkey <> :but_rkey or did <> :but_did)
     order by single_use.rkey, did limit :limit";

/// What each settlement of an authorization charges.
pub(super) const LIST_CHARGED: &str =
    "select charged from single_use where mark = :mark and charged is not null";

pub(super) const FIND_HOSTING: &str =
    "select hosting from did cross join repo on repo.id = did.id where did = :did";

impl IndexReader {
    /// What the index has to judge the receipt at `uri` by: itself, its job, its attestation, the provider record with the
    /// attestation's key, and whatever shares the job, its nonce or the witness. Empty where the receipt is not there.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn receipt_evidence(&self, uri: &AtUri) -> Result<Evidence, IndexError> {
        self.gather(|gathering| gathering.receipt(uri))
    }

    /// What the index has to judge the settlement at `uri` by: itself, the evidence of its receipt, its authorization, the
    /// terms of the exchange, what it refunds, and the exchange's other settlements for that receipt or under that
    /// authorization. Empty where the settlement is not there.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn settlement_evidence(&self, uri: &AtUri) -> Result<Evidence, IndexError> {
        self.gather(|gathering| gathering.settlement(uri))
    }

    /// What the index has to judge a dispute, an acceptance of terms or a credit by: itself and what it names. Empty where it
    /// is not there.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn exchange_record_evidence(&self, uri: &AtUri) -> Result<Evidence, IndexError> {
        self.gather(|gathering| gathering.exchange_record(uri))
    }

    fn gather(
        &self,
        gather: impl FnOnce(&mut Gathering<'_>) -> Result<(), Fault>,
    ) -> Result<Evidence, IndexError> {
        self.query(|conn| {
            let mut gathering = Gathering { conn, evidence: Evidence::default() };
            gather(&mut gathering)?;
            Ok(gathering.evidence)
        })
    }
}

/// Evidence that is being gathered, from one snapshot.
struct Gathering<'c> {
    conn: &'c Connection,
    evidence: Evidence,
}

impl Gathering<'_> {
    fn receipt(&mut self, uri: &AtUri) -> Result<(), Fault> {
        let Some(receipt) = self.find(uri)? else { return Ok(()) };
        let (job, attestation, requester) = receipt.read(|body| {
            (link(body, "job"), link(body, "attestation"), body.text("requester").map(str::to_owned))
        });
        if let Some(attestation) = self.follow(attestation.as_deref())? {
            let key = attestation.read(|body| body.text("publicKey").map(str::to_owned));
            self.offer(receipt.repo(), key.as_deref())?;
        }
        let ordered = self.follow(job.as_deref())?;
        if let Some(job) = &ordered {
            self.sharing(Collection::Job, job)?;
        }
        // Whoever has a record here is active. A requester may be somebody else than whose job it is.
        let owner = ordered.as_ref().map(Exhibit::repo);
        if let Some(requester) = requester.filter(|requester| Some(requester.as_str()) != owner) {
            self.account(&requester)?;
        }
        if let Some(job) = job {
            self.same_job(&job, ordered.as_ref(), &receipt)?;
        }
        self.sharing(Collection::Receipt, &receipt)
    }

    fn settlement(&mut self, uri: &AtUri) -> Result<(), Fault> {
        let Some(settlement) = self.find(uri)? else { return Ok(()) };
        let named = ["requesterAuthorization", "policy", "exchangeAttestation", "refundOf"];
        for uri in settlement.read(|body| named.map(|named| link(body, named))) {
            self.follow(uri.as_deref())?;
        }
        if let Some(receipt) = settlement.read(|body| link(body, "receipt")) {
            if let Ok(uri) = receipt.parse() {
                self.receipt(&uri)?;
            }
            self.settled(settlement.repo(), &receipt)?;
        }
        self.sharing(Collection::Settlement, &settlement)?;
        self.drawn(&settlement)
    }

    fn exchange_record(&mut self, uri: &AtUri) -> Result<(), Fault> {
        let Some(record) = self.find(uri)? else { return Ok(()) };
        let refund = record.read(|body| link(body.map("outcome")?, "refundSettlement"));
        self.follow(refund.as_deref())?;
        for uri in record.read(|body| ["settlement", "policy", "attestation"].map(|named| link(body, named)))
        {
            self.follow(uri.as_deref())?;
        }
        Ok(())
    }

    /// Puts what stands at a URI among the evidence.
    fn find(&mut self, uri: &AtUri) -> Result<Option<Exhibit>, Fault> {
        let found = self.read(
            FIND_RECORD,
            named_params! {":did": uri.authority(), ":nsid": uri.collection(), ":rkey": uri.rkey()},
        )?;
        let found = found.into_iter().next();
        if let Some(found) = &found {
            self.evidence.put(found.clone());
        }
        Ok(found)
    }

    /// Puts what a strong reference leads to among the evidence.
    fn follow(&mut self, uri: Option<&str>) -> Result<Option<Exhibit>, Fault> {
        match uri.and_then(|uri| uri.parse().ok()) {
            Some(uri) => self.find(&uri),
            None => Ok(None),
        }
    }

    /// Puts the newest provider record with this key among the evidence; for want of one, the newest with another.
    fn offer(&mut self, repo: &str, key: Option<&str>) -> Result<(), Fault> {
        let nsid = Collection::Provider.nsid();
        if let Some(key) = key {
            let parameters = named_params! {":did": repo, ":nsid": nsid, ":key": key_text(key)};
            if let Some(offer) = self.read(FIND_OFFER, parameters)?.pop() {
                self.evidence.put(offer);
                return Ok(());
            }
        }
        let offers = self.read(
            LIST_OFFERS,
            named_params! {
                ":did": repo,
                ":nsid": nsid,
                ":repo": self.id(repo)?,
                ":collection": number_of(Collection::Provider),
                ":limit": limits::EVIDENCE_OFFERS + 1,
            },
        )?;
        let has_key =
            |offer: &&Exhibit| offer.read(|body| key.is_some() && body.text("attestationPubKey") == key);
        let found = offers.iter().take(limits::EVIDENCE_OFFERS as usize).find(has_key);
        if found.is_none() {
            self.looked(Check::ProviderKey, limits::EVIDENCE_OFFERS as usize, offers.len());
        }
        if let Some(offer) = found.or(offers.first()) {
            self.evidence.put(offer.clone());
        }
        Ok(())
    }

    /// Puts the earlier receipts for one job among the evidence, with the attestations that they name: those of providers
    /// whom the job accepts, since anybody can write a receipt for anybody's job.
    fn same_job(&mut self, uri: &str, job: Option<&Exhibit>, but: &Exhibit) -> Result<(), Fault> {
        let accepted = job.map(|job| job.read(|body| texts(body, "acceptedProviders"))).unwrap_or_default();
        // Verdicts compare milliseconds. A receipt without a readable time is later than any other.
        let until = but.read(|body| Instant::at(body, "completedAt"));
        let until =
            until.map_or(i64::MAX, |until| until.unix_millis().saturating_mul(1_000).saturating_add(999));
        let receipts = self.read(
            LIST_OF_JOB,
            named_params! {
                ":nsid": Collection::Receipt.nsid(),
                ":job": link_key(uri),
                ":until": until,
                ":but_did": but.repo(),
                ":but_rkey": but.uri().rkey(),
                ":limit": limits::EVIDENCE_PASSED + 1,
            },
        )?;
        let is_whole = receipts.len() <= limits::EVIDENCE_PASSED as usize;
        let mut candidates = receipts;
        candidates.truncate(limits::EVIDENCE_PASSED as usize);
        candidates.retain(|receipt| {
            let attestation = receipt.read(|body| link(body, "attestation"));
            let owner = attestation.and_then(|uri| uri.parse::<AtUri>().ok());
            let is_own = owner.is_some_and(|uri| uri.authority() == receipt.repo());
            is_own && (accepted.is_empty() || accepted.iter().any(|did| did == receipt.repo()))
        });
        let found = candidates.len() + usize::from(!is_whole);
        self.looked(Check::OnlyReceipt, candidates.len().min(limits::EVIDENCE_RECEIPTS as usize), found);
        for receipt in candidates.into_iter().take(limits::EVIDENCE_RECEIPTS as usize) {
            let attestation = receipt.read(|body| link(body, "attestation"));
            self.evidence.put(receipt);
            self.follow(attestation.as_deref())?;
        }
        Ok(())
    }

    /// Puts an exchange's settlements for a receipt among the evidence.
    fn settled(&mut self, exchange: &str, receipt: &str) -> Result<(), Fault> {
        let settlements = self.read(
            LIST_SETTLED,
            named_params! {
                ":did": exchange,
                ":nsid": Collection::Settlement.nsid(),
                ":repo": self.id(exchange)?,
                ":receipt": link_key(receipt),
                ":limit": limits::EVIDENCE_SHARED + 1,
            },
        )?;
        self.some(Check::OnlySettlement, settlements);
        Ok(())
    }

    /// Puts the other records among the evidence that use what a record uses and should be used once.
    fn sharing(&mut self, collection: Collection, but: &Exhibit) -> Result<(), Fault> {
        let mark = but.read(|body| Some(SingleUse::of(collection, but.repo(), body)?.mark()));
        let Some(mark) = mark else { return Ok(()) };
        let sharing = self.read(
            LIST_SHARING,
            named_params! {
                ":mark": mark,
                ":but_did": but.repo(),
                ":but_rkey": but.uri().rkey(),
                ":limit": limits::EVIDENCE_SHARED + 1,
            },
        )?;
        let check = match collection {
            Collection::Job => Check::JobNonce,
            Collection::Receipt => Check::WitnessNonce,
            _ => Check::AuthorizationUnused,
        };
        self.some(check, sharing);
        Ok(())
    }

    /// Adds up what an exchange's settlements draw on the authorization of a settlement, however many there are.
    fn drawn(&mut self, settlement: &Exhibit) -> Result<(), Fault> {
        let authorization = settlement.read(|body| link(body, "requesterAuthorization"));
        let Some(authorization) = authorization else { return Ok(()) };
        let mark = SingleUse::Authorization { exchange: settlement.repo(), uri: &authorization }.mark();
        let mut statement = self.conn.prepare_cached(LIST_CHARGED)?;
        let mut rows = statement.query(named_params! {":mark": mark})?;
        let mut drawn = Drawn::default();
        while let Some(row) = rows.next()? {
            drawn.settlements += 1;
            drawn.amount = drawn.amount.saturating_add(row.get(0)?);
        }
        self.evidence.put_drawn(settlement.repo(), &authorization, drawn);
        Ok(())
    }

    /// Puts as many of these among the evidence as a verdict looks at.
    fn some(&mut self, check: Check, found: Vec<Exhibit>) {
        let most = limits::EVIDENCE_SHARED as usize;
        self.looked(check, most, found.len());
        found.into_iter().take(most).for_each(|other| self.evidence.put(other));
    }

    /// Notes that a check looks `at` a part `of` the records that there are at least.
    fn looked(&mut self, check: Check, at: usize, of: usize) {
        if of > at {
            self.evidence.put_partial(check, Looked { at: at as u64, of: of as u64 });
        }
    }

    /// Notes whether an account that is followed is hidden.
    fn account(&mut self, did: &str) -> Result<(), Fault> {
        let mut statement = self.conn.prepare_cached(FIND_HOSTING)?;
        let mut rows = statement.query(named_params! {":did": did})?;
        let Some(row) = rows.next()? else { return Ok(()) };
        if !hosting(row.get("hosting")?)?.is_visible()
            && let Ok(did) = did.parse()
        {
            self.evidence.put_inactive(did);
        }
        Ok(())
    }

    /// The integer of a repository; none where the index has none of it.
    fn id(&self, repo: &str) -> Result<Option<i64>, Fault> {
        match repo.parse() {
            Ok(repo) => did_id(self.conn, &repo),
            Err(_) => Ok(None),
        }
    }

    fn read(&self, sql: &str, parameters: &[(&str, &dyn ToSql)]) -> Result<Vec<Exhibit>, Fault> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let view = RecordView::read(row)?;
            let exhibit = Exhibit::hashed(view.uri(), view.cid, view.block);
            found.push(exhibit.map_err(|_| Fault::Row("a record at no record's uri"))?);
        }
        Ok(found)
    }
}

fn texts(body: &Map<'_>, member: &str) -> Vec<String> {
    match body.get(member) {
        Some(Value::List(items)) => items.iter().filter_map(Value::as_text).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn link(body: &Map<'_>, named: &str) -> Option<String> {
    body.map(named)?.text("uri").map(str::to_owned)
}
