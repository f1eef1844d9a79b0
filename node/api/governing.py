"""Founding a consortium and governing it: every document is checked here, and signed here by the root key."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from catalog.body import write_body
from catalog.dagcbor import Value, encode
from catalog.entry import KINDS
from catalog.epoch import KIND, check_next, sign_epoch
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.key import Signer
from catalog.member import Epoch, KeyFields, Member, Role, check_epoch0, consortium_cid, epoch_message
from node.api import operation
from node.api.epochs import EpochsView, PendingView
from node.api.founding import FoundingView, InviteView, Join, NewConsortium, SignEpoch
from node.api.publish import Publisher, now
from node.api.schema import KeysView, KeyView, Restarting, WriteEntry


class Governor(Publisher):
    """Founds, admits, suspends and removes; and changes keys that only the root key may."""

    # Founding

    def founding(self) -> FoundingView:
        """How far the founding is.

        Raises:
            NotFound: none has begun here.
        """
        return self._connection.ask(operation.FOUNDING)

    def new_consortium(self, name: str, founders: int) -> FoundingView:
        """Begin a founding of ``founders`` sites, this one among them."""
        return self._connection.ask(operation.NEW_CONSORTIUM, NewConsortium(name=name, founders=founders))

    def invite(self) -> InviteView:
        """An invitation for one more site; it is a secret until it is used."""
        return self._connection.ask(operation.INVITE)

    def join(self, invite: bytes, *, witness_only: bool = False) -> FoundingView:
        """Take an invitation up; taking the same one up again goes on."""
        return self._connection.ask(operation.JOIN, Join(invite=invite, witness_only=witness_only))

    def sign_founding(self, root: Signer) -> FoundingView:
        """Sign the founding document, once every founder is there, with this site's root key.

        Raises:
            VerificationFailed: what the node wants signed is not the document that it shows.
            Denied: the document does not have this root key, or names a founder twice.
            NotFound: there is nothing to sign yet.
        """
        view = self.founding()
        if view.to_sign is None or view.epoch is None:
            raise NotFound(f"there is nothing to sign yet: {len(view.joined)} of {view.expected} founders are there")
        epoch = view.epoch
        message = epoch_message(epoch)
        if message != view.to_sign:
            raise VerificationFailed("the node wants another text signed than the founding document that it shows")
        member = epoch.member(root.did)
        if member is None or len(epoch.roots()) != len(epoch.members) or epoch.number != 0:
            raise Denied("the founding document does not name this site's root key as a founder; it was not signed")
        return self._connection.ask(operation.SIGN_EPOCH, SignEpoch(signature=root.sign(message)))

    def founded(self) -> Epoch | None:
        """The founding document, verified with all its signatures; ``None`` while it lacks some.

        Raises:
            VerificationFailed: the consortium's name is not that document's CID, or a signature is false.
        """
        view = self.founding()
        if view.consortium is None or view.epoch is None:
            return None
        epoch = view.epoch
        check_epoch0(epoch)
        if consortium_cid(epoch) != view.consortium:
            raise VerificationFailed("the consortium's name is not the CID of its founding document")
        return epoch

    # Epochs

    def epochs(self) -> EpochsView:
        """The epoch of now, what may follow it, and who waits to be admitted.

        Raises:
            NotFound: this site is in no consortium yet.
        """
        return self._connection.ask(operation.EPOCHS)

    def propose(self, document: Epoch, root: Signer) -> int:
        """Sign a document that is to follow the epoch of now, and publish the signature: the place of its entry.

        Raises:
            VerificationFailed: it may not follow. Denied: the key does not act as this site's root.
            Conflict: this site has signed a document of that number already, and signs no other.
        """
        view = self.epochs()
        check_next(view.epoch, document)
        member = view.epoch.member(self.site)
        if member is None or member.signer != root.did:
            raise Denied("this key does not act as the root of this site; give the one that does with --root-key")
        mine = next((each for each in view.pending if each.mine), None)
        if mine is not None:
            raise Conflict(
                f"this site has signed a document for epoch {document.number} already, and signs no other;"
                " see: comity consortium pending"
            )
        return self._write_as_root(KIND, sign_epoch(document, root), root, None)

    def pending(self, by: str | None = None) -> PendingView:
        """The document that waits for this site's signature; the one that the member called ``by`` signed.

        Raises:
            NotFound: none. BadInput: several, and ``by`` chooses none of them.
        """
        waiting = [each for each in self.epochs().pending if not each.mine and not each.fault]
        chosen = [each for each in waiting if by is None or by in each.signed]
        if not chosen:
            raise NotFound("no document waits for this site's signature; see: comity consortium pending")
        if len(chosen) > 1:
            names = "; ".join(", ".join(each.signed) for each in chosen)
            raise BadInput(f"several documents wait, signed by {names}; say whose with --of SITE")
        return chosen[0]

    # This site's own keys

    def keys(self) -> KeysView:
        """This site's keys, the removed ones too."""
        return self._connection.ask(operation.KEYS)

    def restart(self) -> Restarting:
        """Have the node start anew, to carry out what lies ready in its folder.

        Raises:
            Conflict: nothing does.
        """
        return self._connection.ask(operation.RESTART)

    def enrol_as_root(self, name: str, did: str, x25519: bytes, root: Signer) -> int:
        """Enrol a steward, which the root key alone may. The entry's place."""
        fields = KeyFields(did=did, role=Role.STEWARD, name=name, x25519=x25519)
        return self.write_key(fields, root)

    def remove_as_root(self, did: str, since: int | None, root: Signer) -> int:
        """Remove a person's key, a steward's too. The entry's place.

        Raises:
            NotFound: nobody with that key is enrolled here.
        """
        fields = self.key_named(did).fields
        return self.write_key(structs.replace(fields, removed=True, until=since), root)

    def replace_as_root(self, old: KeyFields, did: str, x25519: bytes, since: int | None, root: Signer) -> int:
        """Enrol a steward's new key and remove the old one: the new entry's place."""
        index = self.write_key(KeyFields(did=did, role=old.role, name=old.name, x25519=x25519), root)
        self.write_key(structs.replace(old, removed=True, until=since), root)
        return index

    def replace_person(self, old: KeyFields, did: str, x25519: bytes, since: int | None) -> int:
        """Enrol a researcher's or auditor's new key as their steward, and remove the old one: the new entry's place."""
        index = self._write("key", KeyFields(did=did, role=old.role, name=old.name, x25519=x25519))
        self._write("key", structs.replace(old, removed=True, until=since))
        return index

    def write_key(self, fields: KeyFields, root: Signer) -> int:
        """Write a key's entry, signed by the root key. The entry's place."""
        before = next((each.index for each in self.keys().keys if each.fields.did == fields.did), None)
        return self._write_as_root("key", fields, root, before)

    def key_named(self, name: str) -> KeyView:
        """The one enrolled person of that name or key at this site.

        Raises:
            NotFound: nobody. BadInput: several.
        """
        people = [each for each in self.keys().keys if not each.fields.removed and each.fields.role is not Role.NODE]
        found = [each for each in people if name in (each.fields.name, each.fields.did)]
        if len(found) > 1:
            raise BadInput(f"several people are called «{name}» here; give the key: comity person list --enrolled")
        if not found:
            raise NotFound(f"nobody called «{name}» is enrolled here; see: comity person list --enrolled")
        return found[0]

    def _write_as_root(self, kind: str, fields: Value, root: Signer, previous: int | None) -> int:
        if kind not in KINDS:
            raise BadInput(f"«{kind}» is no kind of entry")
        body = write_body(kind, fields, site=self.site, at=now(), by=root, previous=previous)
        return self._connection.ask(operation.WRITE_ENTRY, WriteEntry(body=encode(body))).index


def candidate_named(view: EpochsView, name: str) -> Member:
    """The candidate of that name.

    Raises:
        NotFound: nobody of that name waits; the message says who does.
    """
    found = next((each.member for each in view.candidates if each.member.site == name), None)
    if found is None:
        names = ", ".join(each.member.site for each in view.candidates) or "nobody"
        raise NotFound(f"«{name}» does not wait to be admitted here; there waits: {names}")
    return found


def member_named(view: EpochsView, name: str) -> Member:
    """The member of that name or root key.

    Raises:
        NotFound: there is none; the message says who there is.
    """
    found = next((each for each in view.epoch.members if name in (each.site, each.root)), None)
    if found is None:
        names = ", ".join(each.site for each in view.epoch.members)
        raise NotFound(f"no member is called «{name}»; there are: {names}")
    return found


def others(view: EpochsView, member: Member) -> Mapping[str, Member]:
    """All members but one, by root key."""
    return {each.root: each for each in view.epoch.members if each.root != member.root}
