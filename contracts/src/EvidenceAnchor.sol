// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed, RoleHolders} from "./Governed.sol";

/// @title EvidenceAnchor
/// @notice Keeps the root of the transparency log for every anchored size. Each anchor names the root before
/// it, so the sequence has no gap and no fork, and sizes only grow.
/// @dev Roots are SM3 and opaque here: nothing is hashed on chain.
contract EvidenceAnchor is Governed {
    /// @custom:storage-location erc7201:tanhui.storage.EvidenceAnchor
    struct EvidenceAnchorStorage {
        mapping(uint64 size => bytes32 root) roots;
        uint64 latestSize;
    }

    /// @dev keccak256(abi.encode(uint256(keccak256("tanhui.storage.EvidenceAnchor")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0x61cb5c64d1c2446606f279477faf7d7a6e524fdeea330aab4307cec03b568300;

    /// @notice The log's root at `size` leaves was anchored after `prevRoot`.
    event CheckpointAnchored(uint64 indexed size, bytes32 root, bytes32 prevRoot);

    /// @notice The size must be greater than the latest one.
    error EvidenceAnchorSizeNotGrown(uint64 size, uint64 latestSize);
    /// @notice `prevRoot` must be the latest root (zero for the first anchor).
    error EvidenceAnchorPreviousRootDiffers(bytes32 prevRoot, bytes32 latestRoot);
    /// @notice A zero root would read as "never anchored".
    error EvidenceAnchorRootMissing();

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the role holders.
    function initialize(RoleHolders calldata holders) external initializer {
        _initGoverned(holders);
    }

    /// @notice Anchors one checkpoint.
    /// @param size leaves in the log, greater than the latest anchored size
    /// @param root SM3 Merkle root over the first `size` leaves
    /// @param prevRoot the latest anchored root, zero before the first anchor
    function anchor(uint64 size, bytes32 root, bytes32 prevRoot)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        onlyDirect
    {
        EvidenceAnchorStorage storage $ = _storage();
        uint64 latestSize = $.latestSize;
        if (size <= latestSize) revert EvidenceAnchorSizeNotGrown(size, latestSize);
        if (root == 0) revert EvidenceAnchorRootMissing();
        bytes32 latestRoot = $.roots[latestSize];
        if (prevRoot != latestRoot) revert EvidenceAnchorPreviousRootDiffers(prevRoot, latestRoot);
        $.roots[size] = root;
        $.latestSize = size;
        emit CheckpointAnchored(size, root, prevRoot);
    }

    /// @notice The root anchored for exactly this size; zero if none was.
    function rootOf(uint64 size) external view returns (bytes32) {
        return _storage().roots[size];
    }

    /// @notice The latest anchored size and root; zeros before the first anchor.
    function latest() external view returns (uint64 size, bytes32 root) {
        EvidenceAnchorStorage storage $ = _storage();
        return ($.latestSize, $.roots[$.latestSize]);
    }

    function _storage() private pure returns (EvidenceAnchorStorage storage $) {
        assembly {
            $.slot := STORAGE_LOCATION
        }
    }
}
