-- The whole schema of an index file. There are no migrations: whoever finds another number in `user_version` rebuilds.
--
-- Written by the files of `index/` alone, read by `query/`. Nothing that is listed, ordered or added up comes from our clock or
-- from the order of arrival. The integers that stand for names differ between two indexes of the same repositories, so no
-- list sorts by them and nobody outside ever sees one. And the feed is about this index: when and in which order it learned
-- of changes. No list and no sum looks at `record.seq`, `record.rev`, `record.updated` or the tables `feed` and `feed_floor`.
--
-- Each secondary index costs some 4 microseconds a row, growing with the tree, and is therefore named with the question
-- that it answers. Bulk filling drops those that are not unique and makes them again at the end.

-- One row: a DID that some row names, be it a repository's own or one that a record mentions.
create table did (
    id  integer primary key,
    did text    not null unique
) strict;

-- One row: a collection that some record is in, or that this crate has a lexicon for. Those stand here from the start, in
-- the order of `Collection::ALL` from 1 on, so that an index may name one: receipts are 12.
create table collection (
    id   integer primary key,
    nsid text    not null unique
) strict;

-- One row: the name of a model that some receipt names.
create table model (
    id   integer primary key,
    name text    not null unique
) strict;

-- One row: a repository that is followed. `rev` and `data` are the head of its proven chain, null before its first proof
-- and after its erasure; `rev` holds a TID's 63 bits, whose order as numbers is the order of revisions. `hosting` and
-- `proof` are the codes of `Hosting` and `Proof`: 0 is active, and 0 is full. While `proof` is 2, the repository is to be
-- proven anew; `proven` then says how well its head was before, null if nothing ever was.
--
-- The next four are what the index remembers for itself, by its own clock: when the head was last shown to be the newest,
-- since when the account has been hidden, and that the export could not be had `attempt` times and is due at `retry_at`.
--
-- The last six are what the directory shows: how many records are served, how many of them offer a machine, the first and
-- the last time of a record that tells one (0 if none does), and both again, but not later than the head. A claimed time may
-- be any, and the year 2255 would stand at the top for ever; a head has been seen.
create table repo (
    id      integer primary key references did (id),
    rev     integer,
    data    blob,
    hosting integer not null,
    proof   integer not null,
    proven  integer,
    proven_at integer,
    hidden_at integer,
    attempt   integer,
    retry_at  integer,
    shown     integer not null default 0 check (shown >= 0),
    offers    integer not null default 0 check (offers >= 0),
    first     integer not null default 0,
    latest    integer not null default 0,
    joined    integer not null default 0,
    recent    integer not null default 0,
    check ((rev is null) = (data is null)),
    check (proven is null or (proof = 2 and rev is not null)),
    check ((attempt is null) = (retry_at is null))
) strict;

-- Who was active last, who has joined last? Each is split by who offers a machine, so that those can be listed alone and
-- no account has two entries.
create index repo_recent_offering on repo (recent) where offers > 0;
create index repo_recent on repo (recent) where shown > 0 and offers = 0;
create index repo_joined_offering on repo (joined) where offers > 0;
create index repo_joined on repo (joined) where shown > 0 and offers = 0;

-- One row: a record of a followed repository, shown or not. `cid` is binary, `body` is the block as it was signed.
-- `served` is 1 exactly while the repository is active and the verdict (0 valid, 1 marked, 2 quarantined) is not 2. It
-- follows from `repo.hosting` and `verdict`, and is written out because a list would otherwise walk over the records of
-- every hidden repository, of which a spammer can leave millions. `seq` is the place in the feed of the last change of
-- what is served, null while it is not; `updated` is 1 if that change replaced a record that was served. `rev` is the
-- revision at which the record was proven here: its commit's, or that of the export which brought it. `time` is when the
-- record was made as far as it tells, in microseconds since 1970 (`record::moment`), and 0 if it does not.
create table record (
    id         integer primary key,
    repo       integer not null references repo (id),
    collection integer not null references collection (id),
    rkey       text    not null,
    cid        blob    not null check (length(cid) = 36),
    verdict    integer not null check (verdict in (0, 1, 2)),
    served     integer not null check (served in (0, 1)),
    seq        integer,
    rev        integer not null,
    updated    integer not null check (updated in (0, 1)),
    time       integer not null,
    body       blob    not null,
    check ((seq is null) = (served = 0))
) strict;

-- Which record stands here? What does this repository hold, in the order of keys?
create unique index record_place on record (repo, collection, rkey);

-- What has the newest key in this collection, over all repositories? Receipts have an order of their own.
create index record_served on record (collection, rkey, repo) where served = 1 and collection <> 12;

-- What is the first, and what the last record of this repository? Receipts have such an index too, and a record without a
-- time is neither.
create index record_time on record (repo, time) where served = 1 and time > 0 and collection <> 12;

-- What has changed after this place in the feed? Collection and repository are there so that a filter need not look at
-- the record.
create index record_seq on record (seq, collection, repo) where served = 1;

-- One row: a change that no record can tell, because it is gone or because it is about a whole account. Either a
-- deletion, with the place of the record and the revision without it, or what an account became: `hosting` is the code
-- of `Hosting`, and `erased` is 1 if its records are gone for good. `seq` is a place in the feed, as `record.seq` is:
-- microseconds since 1970, and no two are equal. Rows are removed when they are old, and with the account they are about.
create table feed (
    seq        integer primary key,
    repo       integer not null references did (id),
    collection integer references collection (id),
    rkey       text,
    rev        integer,
    hosting    integer,
    erased     integer not null default 0 check (erased in (0, 1)),
    check ((collection is null) = (hosting is not null)),
    check ((rkey is null) = (hosting is not null)),
    check ((rev is null) = (hosting is not null)),
    check (erased = 0 or hosting is not null)
) strict;

-- What is told of this account, all of which goes when it is erased?
create index feed_repo on feed (repo);

-- The one row, there from the first change on: whoever has read the feed to a place before `seq` may have missed
-- deletions, because their rows were removed, or because that place was in the feed of another file.
create table feed_floor (
    only_row integer primary key check (only_row = 1),
    seq      integer not null
) strict;

-- One row: a breach of its lexicon by a marked or quarantined record, at most 16 for each.
create table finding (
    record  integer not null references record (id) on delete cascade,
    ordinal integer not null,
    path    text    not null,
    rule    text    not null,
    message text    not null,
    primary key (record, ordinal)
) strict, without rowid;

-- The typed tables: one row for each served record of one collection, with what a list filters by or a statistic adds
-- up. A row is there exactly while its record is served, so that no statistic can forget who is hidden. A member that
-- can't be read is null. Collections without a filter beyond repository and key have no table: `record` is enough.
-- `rkey` and `provider` repeat the record's, so that an index can hold them.

-- One row: a served `dev.cocore.compute.receipt`. `time` repeats the record's: when the work was
-- completed, in microseconds since 1970. `millis` is how long it took in milliseconds; null if its times can't be read, or if it ended
-- before it began. `tier` is `best-effort` where the record has none. `job` stands for the URI: the 8 bytes of the TID in
-- it, zeros if there is none, then the start of its BLAKE3. The 16 bytes of that are too long for anyone to find two URIs
-- that share them; the time before them keeps together what is written together, where the hash alone would have each row
-- change another page of the index.
create table receipt (
    record     integer primary key references record (id) on delete cascade,
    provider   integer not null references did (id),
    rkey       text    not null,
    time       integer not null,
    millis     integer,
    requester  integer references did (id),
    job        blob,
    model      integer references model (id),
    tier       text,
    tokens_in  integer not null,
    tokens_out integer not null
) strict;

-- What was done by this provider, with this model, by anybody? Newest first, and the newest hundred that tell how long they
-- took. Each question has two indexes, and each receipt stands in one of them, so that whoever publishes a million
-- receipts that don't tell has nobody walk over them. `millis` is in all of them, because SQLite looks a row up whose condition
-- it does not find in an index.
create index receipt_provider on receipt (provider, time, rkey, millis) where millis is not null;
create index receipt_provider_untold on receipt (provider, time, rkey, millis) where millis is null;
create index receipt_model on receipt (model, time, rkey, millis, provider) where millis is not null and model is not null;
create index receipt_model_untold on receipt (model, time, rkey, provider, millis)
    where millis is null and model is not null;
create index receipt_time on receipt (time, rkey, millis, provider) where millis is not null;
create index receipt_time_untold on receipt (time, rkey, provider, millis) where millis is null;

-- What was done for this requester, by this provider or by all?
create index receipt_requester on receipt (requester, time, rkey, provider) where requester is not null;

-- What was done for this job?
create index receipt_job on receipt (job, time, rkey) where job is not null;

-- What was done in this tier? What nearly all are of is found without it.
create index receipt_tier on receipt (tier, time, rkey, provider) where tier <> 'best-effort';

-- One row: a served `dev.cocore.compute.provider`. `tier` is `best-effort` where the record has none. `key` is its
-- `attestationPubKey`, without white space and padding.
create table provider (
    record      integer primary key references record (id) on delete cascade,
    owner       integer not null references did (id),
    rkey        text    not null,
    trust_level text,
    tier        text,
    key         text
) strict;

-- Which machines claim this trust level, and does one of this owner?
create index provider_trust_level on provider (trust_level, rkey, owner) where trust_level is not null;
create index provider_owner on provider (owner, trust_level);

-- Which machine of this owner has this key?
create index provider_key on provider (owner, key, rkey) where key is not null;

-- Which machines claim this tier?
create index provider_tier on provider (tier, rkey, owner) where tier is not null;

-- One row: a model that a served provider record says it can serve, at most 256 for each.
create table provider_model (
    record integer not null references provider (record) on delete cascade,
    model  integer not null references model (id),
    rkey   text    not null,
    owner  integer not null references did (id),
    primary key (record, model)
) strict, without rowid;

-- Which machines can serve this model?
create index provider_model_model on provider_model (model, rkey, owner);

-- One row: a served `dev.cocore.compute.settlement`. `receipt` stands for a URI as `receipt.job` does; `requester` is the
-- repository of the authorization that it draws on.
create table settlement (
    record    integer primary key references record (id) on delete cascade,
    rkey      text    not null,
    receipt   blob,
    requester integer references did (id)
) strict;

-- What was paid for this receipt?
create index settlement_receipt on settlement (receipt, rkey) where receipt is not null;

-- What was this requester charged?
create index settlement_requester on settlement (requester, rkey) where requester is not null;

-- One row: a served `dev.cocore.compute.dispute`. `settlement` stands for a URI as `receipt.job` does.
create table dispute (
    record     integer primary key references record (id) on delete cascade,
    rkey       text    not null,
    settlement blob,
    raised_by  integer references did (id)
) strict;

-- What was objected to in this settlement?
create index dispute_settlement on dispute (settlement, rkey) where settlement is not null;

-- What did this account object to?
create index dispute_raised_by on dispute (raised_by, rkey) where raised_by is not null;

-- One row: a served `dev.cocore.account.friend`. `created` is its `createdAt`, as it stands there; `declared` is the time
-- that it names, or else `record.time`.
create table friend (
    record   integer primary key references record (id) on delete cascade,
    friender integer not null references did (id),
    rkey     text    not null,
    subject  integer references did (id),
    declared integer not null,
    created  text
) strict;

-- Who trusts this account?
create index friend_subject on friend (subject, rkey) where subject is not null;

-- When did this account first declare its trust in that one?
create index friend_pair on friend (friender, subject, declared, created) where subject is not null;

-- One row: a served `dev.cocore.account.profile` under the key `self`, hence at most one for each account. All share one
-- key, so they are listed by `time`, which repeats the record's, and by DID, whose text is repeated to be in an index.
create table profile (
    record       integer primary key references record (id) on delete cascade,
    did          text not null,
    time         integer not null,
    handle       text,
    display_name text,
    avatar_url   text
) strict;

-- What does the profile of this account say?
create index profile_did on profile (did);

-- Which profiles are there, the newest first?
create index profile_time on profile (time, did);

-- One row: a served record that uses what should be used once: a job its nonce, a settlement its authorization, a receipt
-- the nonce of the broker that witnessed it. `mark` stands for the thing and for whose it is: 16 bytes of a BLAKE3, after
-- the time in the key of an authorization. `rkey` repeats the record's. `charged` is what a settled settlement charges, if that is an
-- integer.
create table single_use (
    record  integer primary key references record (id) on delete cascade,
    rkey    text    not null,
    mark    blob    not null,
    charged integer
) strict;

-- Who else uses this? What was charged on it in all?
create index single_use_mark on single_use (mark, rkey, charged);

-- The derived tables: each row follows from rows above, is written in the same transaction as they are, and is the same
-- however they came to be. Where something is served, hidden or deleted, they change with it.

-- One row: what the records of one group add up to in one week. A group is a kind and one or two numbers:
--
--   0  served records of the repository `a` in the collection `b`
--   1  receipts that name the requester `a`
--   2  receipts that name the model `a`; all receipts where `a` is 0
--   3  receipts of the provider `a` that name the model `b`
--   4  declarations of trust in the account `a`
--   5  accounts that trust the account `a`, in the week 0
--   6  accounts with a served record (`a` is 0), and with a machine on offer (1), in the week 0
--   7  followed repositories whose hosting has the code `a` and whose proof the code `b`, in the week 0
--
-- Weeks begin on Monday at 00:00 UTC and are counted from the one in which 1970 began; a record without a time is in the
-- first. `hours` tells the same for each hour of the week, of receipts alone (`index/total.rs` has its form). So any range
-- of time is a few rows, and the receipts of an hour at each end. There is no row where there is nothing.
create table total (
    kind       integer not null check (kind between 0 and 7),
    a          integer not null,
    b          integer not null,
    week       integer not null,
    records    integer not null,
    tokens_in  integer not null,
    tokens_out integer not null,
    hours      blob    not null,
    primary key (kind, a, b, week)
) strict, without rowid;

-- One row: what the newest hundred receipts that tell it say of how long work took, of all (`kind` is 0, `who` too), of one
-- provider (1) or of one model (2). `newest` is the time of the newest. All others are milliseconds.
create table latency (
    kind    integer not null check (kind between 0 and 2),
    who     integer not null,
    newest  integer not null,
    samples integer not null check (samples between 1 and 100),
    p50     integer not null,
    p95     integer not null,
    mean    integer not null,
    last    integer not null,
    primary key (kind, who)
) strict, without rowid;

-- Whose work is the newest?
create index latency_newest on latency (kind, newest);

-- One row: when a model was last served by one provider; by any, where `provider` is 0.
create table service (
    model    integer not null references model (id),
    provider integer not null,
    newest   integer not null,
    primary key (model, provider)
) strict, without rowid;

-- Who served this model last?
create index service_provider on service (model, newest) where provider <> 0;

-- Which model was served last?
create index service_model on service (newest) where provider = 0;

-- One row: that one account trusts another, since when, and in the words of the declaration that says so.
create table trust (
    subject  integer not null references did (id),
    friender integer not null references did (id),
    declared integer not null,
    created  text,
    primary key (subject, friender)
) strict, without rowid;

-- Who was the last to trust this account?
create index trust_subject on trust (subject, declared, created);

-- Who was the last to trust anybody else?
create index trust_declared on trust (declared, created) where subject <> friender;

-- Whom does this account trust?
create index trust_friender on trust (friender);

-- One row: what accounts with a served record are searched by, for those whose number divided by 256 is `part`. For each, in
-- the order of their numbers: a line's end, a character that tells which of the 256 it is and whether it has a machine on
-- offer, the DID, a tab, and the handle of its profile, all in lower case (`index/standing/directory.rs`). A search reads all
-- of them, which takes a hundredth of the time that it takes to look at account by account. The text is kept as bytes, of
-- which SQLite makes one copy less and which nobody has to look at as characters.
create table directory (
    part  integer primary key,
    names blob not null
) strict;

-- One row: the records of all active repositories in one collection, or in all of them in the row 0: the sum behind the
-- fingerprint, and their number by verdict. Quarantined records count: they are records of the repository.
create table tally (
    collection  integer primary key,
    sum         blob    not null check (length(sum) = 2048),
    valid       integer not null,
    marked      integer not null,
    quarantined integer not null
) strict;

-- One row: how far one endpoint's stream has been followed. Everything up to `seq` is in this file.
create table cursor (
    endpoint text    primary key,
    seq      integer not null
) strict, without rowid;

-- The one row: which set of lexicons the verdicts are by. While the records are being judged again, those with an id up
-- to `through` have been; null when all have.
create table judged (
    only_row   integer primary key check (only_row = 1),
    schema_set text    not null,
    through    integer
) strict;
