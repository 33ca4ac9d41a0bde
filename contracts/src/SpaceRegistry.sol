// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed, RoleHolders} from "./Governed.sol";

/// @notice The right to share one parking space, as it is registered.
/// @param space digest that names the space
/// @param owner account of whom the right belongs to: a pseudonym, never a name, plate or phone number
/// @param lot digest that names the lot
/// @param policy digest of the window policy: when and to whom the space is shared
struct Space {
    bytes32 space;
    bytes20 owner;
    bytes32 lot;
    bytes32 policy;
}

/// @notice Whether a space may be shared now. A space that was never registered is `Unknown`.
enum Standing {
    Unknown,
    Active,
    Suspended
}

/// @title SpaceRegistry
/// @notice Digitised space rights: who may share which space under which window policy. It is a register and
/// no market: a right has no price, cannot be offered or approved, and changes hands only by an act that names
/// both owners and the digest of what they signed. No personal data: owners are accounts, all else digests.
/// @dev Acts on a right are numbered from 1, its registration. An act names the number it will have, so that a
/// retransmission is told from a second act: the last act again changes nothing, an act with another number is
/// refused.
contract SpaceRegistry is Governed {
    /// @dev Four words. `lastAct` is the hash of the act numbered `seq`.
    struct Right {
        bytes20 owner;
        Standing standing;
        uint32 seq;
        uint32 blockNumber;
        bytes32 lot;
        bytes32 policy;
        bytes32 lastAct;
    }

    /// @custom:storage-location erc7201:tanhui.storage.SpaceRegistry
    struct SpaceRegistryStorage {
        mapping(bytes32 space => Right) rights;
        uint64 registered;
    }

    /// @notice Most spaces in one registration.
    uint256 public constant SPACE_COUNT_MAX = 300;

    /// @dev keccak256(abi.encode(uint256(keccak256("tanhui.storage.SpaceRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0x6d1f96ecb1e7aa069ecc49b0f21d7f13597f7161f82703e4346ba4ba02382300;

    /// @notice A space's right entered the register, active.
    event SpaceRegistered(bytes32 indexed space, bytes20 indexed owner, bytes32 indexed lot, bytes32 policy);
    /// @notice A space is not shared until it is resumed. `reason` is the digest of what led to it.
    event SpaceSuspended(bytes32 indexed space, uint32 seq, bytes32 reason);
    /// @notice A suspended space is shared again.
    event SpaceResumed(bytes32 indexed space, uint32 seq);
    /// @notice A right passed from one owner to another. `agreement` is the digest of what both signed.
    event SpaceHandedOver(
        bytes32 indexed space, uint32 seq, bytes20 indexed from, bytes20 indexed to, bytes32 agreement
    );
    /// @notice Another window policy applies to a space.
    event SpacePolicySet(bytes32 indexed space, uint32 seq, bytes32 policy, bytes32 policyBefore);

    /// @notice A registration names at least one and at most `SPACE_COUNT_MAX` spaces.
    error SpaceRegistrySpaceCount(uint256 count);
    /// @notice Space, owner, lot and policy must all be named; `index` is the offending entry.
    error SpaceRegistryFieldMissing(uint256 index);
    /// @notice The space is registered with another owner, lot or policy.
    error SpaceRegistryAlreadyRegistered(bytes32 space);
    error SpaceRegistrySpaceUnknown(bytes32 space);
    /// @notice The right's last act has number `seqNow`; the next one must have the number after it.
    error SpaceRegistrySeqMismatch(bytes32 space, uint32 seq, uint32 seqNow);
    /// @notice Only an active space can be suspended, only a suspended one resumed.
    error SpaceRegistryStandingMismatch(bytes32 space, Standing standing);
    /// @notice The right belongs to another owner than the act says.
    error SpaceRegistryNotTheOwner(bytes32 space, bytes20 owner);
    /// @notice A right is handed over to somebody else than its owner, who must be named.
    error SpaceRegistryNewOwnerInvalid(bytes32 space);
    /// @notice A reason, an agreement or a policy is the digest of a document and cannot be zero.
    error SpaceRegistryDigestMissing(bytes32 space);

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the role holders.
    /// @param holders see `RoleHolders`
    function initialize(RoleHolders calldata holders) external initializer {
        _initGoverned(holders);
    }

    // ---------------------------------------------------------------------------------- acts

    /// @notice Registers spaces, active, as act 1 of each. A space that stands exactly so already is passed over.
    /// @param spaces at least one, at most `SPACE_COUNT_MAX`
    /// @return fresh how many of them entered the register now
    function register(Space[] calldata spaces)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (uint256 fresh)
    {
        if (spaces.length == 0 || spaces.length > SPACE_COUNT_MAX) revert SpaceRegistrySpaceCount(spaces.length);
        SpaceRegistryStorage storage $ = _storage();
        for (uint256 i = 0; i < spaces.length; ++i) {
            Space calldata entry = spaces[i];
            if (entry.space == 0 || entry.owner == 0 || entry.lot == 0 || entry.policy == 0) {
                revert SpaceRegistryFieldMissing(i);
            }
            Right storage right = $.rights[entry.space];
            if (right.standing != Standing.Unknown) {
                if (right.owner != entry.owner || right.lot != entry.lot || right.policy != entry.policy) {
                    revert SpaceRegistryAlreadyRegistered(entry.space);
                }
                continue;
            }
            right.owner = entry.owner;
            right.standing = Standing.Active;
            right.seq = 1;
            right.blockNumber = uint32(block.number);
            right.lot = entry.lot;
            right.policy = entry.policy;
            fresh += 1;
            emit SpaceRegistered(entry.space, entry.owner, entry.lot, entry.policy);
        }
        $.registered += uint64(fresh);
    }

    /// @notice Takes an active space out of sharing until it is resumed.
    /// @param space the space
    /// @param seq number of this act: one more than the last
    /// @param reason digest of the document that says why
    /// @return fresh false if exactly this was the last act (nothing changes)
    function suspend(bytes32 space, uint32 seq, bytes32 reason)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        if (reason == 0) revert SpaceRegistryDigestMissing(space);
        Right storage right = _known(space);
        if (!_next(right, space, seq, keccak256(abi.encode(this.suspend.selector, reason)))) return false;
        _change(right, space, Standing.Active, Standing.Suspended);
        emit SpaceSuspended(space, seq, reason);
        return true;
    }

    /// @notice Lets a suspended space be shared again.
    /// @param space the space
    /// @param seq number of this act: one more than the last
    /// @return fresh false if exactly this was the last act (nothing changes)
    function resume(bytes32 space, uint32 seq)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        Right storage right = _known(space);
        if (!_next(right, space, seq, keccak256(abi.encode(this.resume.selector)))) return false;
        _change(right, space, Standing.Suspended, Standing.Active);
        emit SpaceResumed(space, seq);
        return true;
    }

    /// @notice Passes a right on; its lot, policy and standing stay.
    /// @param space the space
    /// @param seq number of this act: one more than the last
    /// @param from the owner so far
    /// @param to the owner from now on
    /// @param agreement digest of what both signed
    /// @return fresh false if exactly this was the last act (nothing changes)
    function handOver(bytes32 space, uint32 seq, bytes20 from, bytes20 to, bytes32 agreement)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        if (agreement == 0) revert SpaceRegistryDigestMissing(space);
        if (to == 0 || to == from) revert SpaceRegistryNewOwnerInvalid(space);
        Right storage right = _known(space);
        if (!_next(right, space, seq, keccak256(abi.encode(this.handOver.selector, from, to, agreement)))) {
            return false;
        }
        if (right.owner != from) revert SpaceRegistryNotTheOwner(space, right.owner);
        right.owner = to;
        emit SpaceHandedOver(space, seq, from, to, agreement);
        return true;
    }

    /// @notice Replaces the window policy of a space.
    /// @param space the space
    /// @param seq number of this act: one more than the last
    /// @param policy digest of the policy from now on
    /// @return fresh false if exactly this was the last act (nothing changes)
    function setPolicy(bytes32 space, uint32 seq, bytes32 policy)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        if (policy == 0) revert SpaceRegistryDigestMissing(space);
        Right storage right = _known(space);
        if (!_next(right, space, seq, keccak256(abi.encode(this.setPolicy.selector, policy)))) return false;
        emit SpacePolicySet(space, seq, policy, right.policy);
        right.policy = policy;
        return true;
    }

    // ---------------------------------------------------------------------------------- views

    /// @notice A space's right as it stands; zeros and `Unknown` if it was never registered.
    /// @return owner account of the owner
    /// @return standing whether the space may be shared
    /// @return seq number of the last act
    /// @return lot digest of the lot
    /// @return policy digest of the window policy
    /// @return blockNumber block of the last act
    function rightOf(bytes32 space)
        external
        view
        returns (
            bytes20 owner, Standing standing, uint32 seq, bytes32 lot, bytes32 policy, uint32 blockNumber
        )
    {
        Right storage found = _storage().rights[space];
        return (found.owner, found.standing, found.seq, found.lot, found.policy, found.blockNumber);
    }

    /// @notice How many spaces were ever registered.
    function registered() external view returns (uint64) {
        return _storage().registered;
    }

    // ---------------------------------------------------------------------------------- checks

    function _known(bytes32 space) private view returns (Right storage right) {
        right = _storage().rights[space];
        if (right.standing == Standing.Unknown) revert SpaceRegistrySpaceUnknown(space);
    }

    /// @dev Counts the act in. False if it is the last one again; refused if its number is not the next.
    function _next(Right storage right, bytes32 space, uint32 seq, bytes32 act) private returns (bool) {
        uint32 seqNow = right.seq;
        if (seq == seqNow && act == right.lastAct) return false;
        // Compared without adding: the number after the last possible one does not exist.
        if (seq == 0 || seq - 1 != seqNow) revert SpaceRegistrySeqMismatch(space, seq, seqNow);
        right.seq = seq;
        right.blockNumber = uint32(block.number);
        right.lastAct = act;
        return true;
    }

    function _change(Right storage right, bytes32 space, Standing from, Standing to) private {
        if (right.standing != from) revert SpaceRegistryStandingMismatch(space, right.standing);
        right.standing = to;
    }

    function _storage() private pure returns (SpaceRegistryStorage storage $) {
        assembly {
            $.slot := STORAGE_LOCATION
        }
    }
}
