//! What a verdict on a record is made of, as far as the index has it.
//!
//! A URI enters, [`Evidence`] leaves: the record, the records that it names, and those that use what should be used once.
//! All of it is a function of the records, so that two indexes of the same repositories give equal evidence. Deliberately
//! absent: judging, and the documents of brokers and exchanges, which no index has.

use rusqlite::{Connection, ToSql, named_params};

use super::RecordView;
use super::record::{FIND_RECORD, did_id};
use crate::block::Map;
use crate::index::{Fault, IndexError, IndexReader, SingleUse, hosting, link_key, number_of};
use crate::limits;
use crate::record::Collection;
use crate::syntax::AtUri;
use crate::trust::{Evidence, Exhibit};

/// One repository's provider records, malformed ones too, newest key first.
pub(super) const LIST_OFFERS: &str = "
    select :did as did, :nsid as nsid, rkey, cid, verdict, time, body
      from record
     where repo = :repo and collection = :collection
     order by rkey desc limit :limit";

/// The receipts for a job, oldest first.
pub(super) const LIST_OF_JOB: &str = "
    select did, :nsid as nsid, record.rkey, cid, verdict, record.time as time, body
      from receipt
      cross join record on record.id = receipt.record
      cross join did on did.id = receipt.provider
     where job = :job
     order by receipt.time, receipt.rkey, did limit :limit";

/// One exchange's settlements for a receipt. There is one, and refunds perhaps; those of others are passed over.
pub(super) const LIST_SETTLED: &str = "
    select :did as did, :nsid as nsid, record.rkey, cid, verdict, record.time as time, body
      from settlement
      cross join record on record.id = settlement.record and record.repo = :repo
     where receipt = :receipt
     order by settlement.rkey limit :limit";

/// Who uses what should be used once, oldest key first.
pub(super) const LIST_SHARING: &str = "
    select did, nsid, record.rkey, cid, verdict, record.time as time, body
      from single_use
      cross join record on record.id = single_use.record
      cross join collection on collection.id = record.collection
      cross join did on did.id = record.repo
     where mark = :mark
     order by single_use.rkey, did limit :limit";

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
        self.account(receipt.repo())?;
        if let Some(requester) = requester {
            self.account(&requester)?;
        }
        if let Some(attestation) = self.follow(attestation.as_deref())? {
            let key = attestation.read(|body| body.text("publicKey").map(str::to_owned));
            self.offer(receipt.repo(), key.as_deref())?;
        }
        if let Some(job) = self.follow(job.as_deref())? {
            self.sharing(Collection::Job, &job)?;
        }
        if let Some(job) = job {
            self.same_job(&job)?;
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
        self.sharing(Collection::Settlement, &settlement)
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
        let offers = self.read(
            LIST_OFFERS,
            named_params! {
                ":did": repo,
                ":nsid": nsid,
                ":repo": self.id(repo)?,
                ":collection": number_of(Collection::Provider),
                ":limit": limits::EVIDENCE_OFFERS,
            },
        )?;
        let has_key =
            |offer: &&Exhibit| offer.read(|body| key.is_some() && body.text("attestationPubKey") == key);
        if let Some(offer) = offers.iter().find(has_key).or(offers.first()) {
            self.evidence.put(offer.clone());
        }
        Ok(())
    }

    /// Puts the receipts for one job among the evidence, with the attestations that they name.
    fn same_job(&mut self, job: &str) -> Result<(), Fault> {
        let receipts = self.read(
            LIST_OF_JOB,
            named_params! {
                ":nsid": Collection::Receipt.nsid(),
                ":job": link_key(job),
                ":limit": limits::EVIDENCE_RECEIPTS + 1,
            },
        )?;
        for receipt in receipts {
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
                ":limit": limits::EVIDENCE_SHARED,
            },
        )?;
        settlements.into_iter().for_each(|settlement| self.evidence.put(settlement));
        Ok(())
    }

    /// Puts the records among the evidence that use what a record uses and should be used once.
    fn sharing(&mut self, collection: Collection, exhibit: &Exhibit) -> Result<(), Fault> {
        let mark = exhibit.read(|body| Some(SingleUse::of(collection, exhibit.repo(), body)?.mark()));
        let Some(mark) = mark else { return Ok(()) };
        let sharing =
            self.read(LIST_SHARING, named_params! {":mark": mark, ":limit": limits::EVIDENCE_SHARED})?;
        sharing.into_iter().for_each(|other| self.evidence.put(other));
        Ok(())
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

fn link(body: &Map<'_>, named: &str) -> Option<String> {
    body.map(named)?.text("uri").map(str::to_owned)
}
