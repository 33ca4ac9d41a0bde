// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712Upgradeable} from "@openzeppelin/contracts-upgradeable/utils/cryptography/EIP712Upgradeable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {Governed, RoleHolders} from "./Governed.sol";
import {Enactment, IRuleRegistry} from "./IRuleRegistry.sol";

/// @title RuleRegistry
/// @notice Append-only list of enacted rules and methods: digest and window of each version, put there by two
/// distinct registered approvers whose own EIP-712 signatures are recovered here. A version is never changed
/// or removed; a stop can only bring the end of its window forward.
/// @dev Anyone may carry the two signatures to the chain: what counts is who signed. Signing the same
/// enactment twice has no further effect, so a retransmission is harmless.
contract RuleRegistry is Governed, EIP712Upgradeable, IRuleRegistry {
    /// @dev `dayTo` is the window's end now, `dayToEnacted` the end that was enacted first. One word.
    struct Version {
        bytes32 digest;
        uint32 dayFrom;
        uint32 dayTo;
        uint32 dayToEnacted;
        uint32 blockNumber;
    }

    /// @custom:storage-location erc7201:tanhui.storage.RuleRegistry
    struct RuleRegistryStorage {
        mapping(bytes32 key => Version) versions;
        mapping(address approver => bool) approvers;
    }

    /// @notice `what` of a rule (points table) and of a method (reduction formula).
    uint8 public constant RULE = 1;
    uint8 public constant METHOD = 2;

    /// @dev EIP-712 type hash of `Enactment`.
    bytes32 public constant ENACTMENT_TYPEHASH = keccak256(
        "Enactment(uint8 what,bytes32 id,uint32 version,bytes32 digest,uint32 dayFrom,uint32 dayTo)"
    );

    /// @dev keccak256(abi.encode(uint256(keccak256("tanhui.storage.RuleRegistry")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0xbfa26508e3fc8d9d3b901ba8389ea582d51233ccd4c5042b996d51040968c500;

    /// @notice A version was enacted by two approvers, named in ascending order.
    event VersionEnacted(
        uint8 indexed what,
        bytes32 indexed id,
        uint32 indexed version,
        bytes32 digest,
        uint32 dayFrom,
        uint32 dayTo,
        address approverLow,
        address approverHigh
    );
    /// @notice A version's window was ended earlier by two approvers, named in ascending order.
    event VersionStopped(
        uint8 indexed what,
        bytes32 indexed id,
        uint32 indexed version,
        uint32 dayTo,
        uint32 dayToBefore,
        address approverLow,
        address approverHigh
    );
    event ApproverRegistered(address indexed approver);
    event ApproverRemoved(address indexed approver);

    /// @notice `what` is neither rule nor method, or id, version or digest is zero.
    error RuleRegistryEnactmentInvalid();
    /// @notice The window is empty: `dayFrom` must be before `dayTo`.
    error RuleRegistryWindowEmpty(uint32 dayFrom, uint32 dayTo);
    /// @notice This version exists with another digest or window.
    error RuleRegistryVersionExists(uint8 what, bytes32 id, uint32 version);
    /// @notice There is no such version, or its digest or first day differ.
    error RuleRegistryVersionUnknown(uint8 what, bytes32 id, uint32 version);
    /// @notice A stop can only lower `dayTo`.
    error RuleRegistryStopNotEarlier(uint32 dayTo, uint32 dayToNow);
    /// @notice The recovered signer is not a registered approver.
    error RuleRegistryNotAnApprover(address signer);
    /// @notice Both signatures are by the same approver.
    error RuleRegistryApproversNotDistinct(address signer);
    error RuleRegistryApproverMissing();

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the role holders and the first approvers.
    /// @param holders see `RoleHolders`; this contract uses admin, government and upgrader
    /// @param approvers officials' signing addresses; more are registered by GOVERNMENT
    function initialize(RoleHolders calldata holders, address[] calldata approvers) external initializer {
        _initGoverned(holders);
        __EIP712_init("Tanhui RuleRegistry", "1");
        for (uint256 i = 0; i < approvers.length; ++i) {
            _registerApprover(approvers[i]);
        }
    }

    /// @notice Lets an official's address sign enactments from now on.
    function registerApprover(address approver) external onlyRole(GOVERNMENT) {
        _registerApprover(approver);
    }

    /// @notice Ends an official's right to sign; what was enacted stays.
    function removeApprover(address approver) external onlyRole(GOVERNMENT) {
        _storage().approvers[approver] = false;
        emit ApproverRemoved(approver);
    }

    /// @notice Enacts one version of a rule or method.
    /// @param enactment what was signed
    /// @param signatureA 65 bytes r ‖ s ‖ v of one approver over `hashEnactment(enactment)`, low s, v 27 or 28
    /// @param signatureB the same of another approver
    /// @return fresh false if exactly this enactment is in force already (nothing changes)
    function enact(Enactment calldata enactment, bytes calldata signatureA, bytes calldata signatureB)
        external
        whenNotPaused
        returns (bool fresh)
    {
        if (
            (enactment.what != RULE && enactment.what != METHOD) || enactment.id == 0 || enactment.version == 0
                || enactment.digest == 0
        ) revert RuleRegistryEnactmentInvalid();
        if (enactment.dayFrom >= enactment.dayTo) {
            revert RuleRegistryWindowEmpty(enactment.dayFrom, enactment.dayTo);
        }
        Version storage version = _version(enactment.what, enactment.id, enactment.version);
        if (version.digest != 0) {
            if (
                version.digest == enactment.digest && version.dayFrom == enactment.dayFrom
                    && version.dayToEnacted == enactment.dayTo
            ) return false;
            revert RuleRegistryVersionExists(enactment.what, enactment.id, enactment.version);
        }
        (address low, address high) = _requireTwoApprovers(enactment, signatureA, signatureB);
        version.digest = enactment.digest;
        version.dayFrom = enactment.dayFrom;
        version.dayTo = enactment.dayTo;
        version.dayToEnacted = enactment.dayTo;
        version.blockNumber = uint32(block.number);
        emit VersionEnacted(
            enactment.what,
            enactment.id,
            enactment.version,
            enactment.digest,
            enactment.dayFrom,
            enactment.dayTo,
            low,
            high
        );
        return true;
    }

    /// @notice Ends an enacted version earlier: the enactment signed is that of the version, with a lower `dayTo`.
    /// Batches posted before stay; later batches must keep to the new window.
    /// @dev The digest covers the document with its own `day_to`, so no other signed enactment of the same digest
    /// can mean anything but a stop.
    /// @return fresh false if the window ends on that day already (nothing changes)
    function stop(Enactment calldata enactment, bytes calldata signatureA, bytes calldata signatureB)
        external
        whenNotPaused
        returns (bool fresh)
    {
        Version storage version = _version(enactment.what, enactment.id, enactment.version);
        if (
            version.digest == 0 || version.digest != enactment.digest || version.dayFrom != enactment.dayFrom
        ) revert RuleRegistryVersionUnknown(enactment.what, enactment.id, enactment.version);
        if (enactment.dayFrom >= enactment.dayTo) {
            revert RuleRegistryWindowEmpty(enactment.dayFrom, enactment.dayTo);
        }
        uint32 dayToNow = version.dayTo;
        if (enactment.dayTo == dayToNow) return false;
        if (enactment.dayTo > dayToNow) revert RuleRegistryStopNotEarlier(enactment.dayTo, dayToNow);
        (address low, address high) = _requireTwoApprovers(enactment, signatureA, signatureB);
        version.dayTo = enactment.dayTo;
        emit VersionStopped(
            enactment.what, enactment.id, enactment.version, enactment.dayTo, dayToNow, low, high
        );
        return true;
    }

    /// @inheritdoc IRuleRegistry
    function enacted(uint8 what, bytes32 id, uint32 version)
        external
        view
        returns (bytes32 digest, uint32 dayFrom, uint32 dayTo)
    {
        Version storage found = _version(what, id, version);
        return (found.digest, found.dayFrom, found.dayTo);
    }

    /// @notice The window's end as first enacted and the block of the enactment; zeros if unknown.
    function enactedFirst(uint8 what, bytes32 id, uint32 version)
        external
        view
        returns (uint32 dayToEnacted, uint32 blockNumber)
    {
        Version storage found = _version(what, id, version);
        return (found.dayToEnacted, found.blockNumber);
    }

    /// @notice Whether an address may sign enactments.
    function isApprover(address approver) external view returns (bool) {
        return _storage().approvers[approver];
    }

    /// @notice The EIP-712 digest that approvers sign.
    function hashEnactment(Enactment calldata enactment) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    ENACTMENT_TYPEHASH,
                    enactment.what,
                    enactment.id,
                    enactment.version,
                    enactment.digest,
                    enactment.dayFrom,
                    enactment.dayTo
                )
            )
        );
    }

    function _registerApprover(address approver) private {
        if (approver == address(0)) revert RuleRegistryApproverMissing();
        _storage().approvers[approver] = true;
        emit ApproverRegistered(approver);
    }

    /// @dev OpenZeppelin's ECDSA refuses other lengths, high s (the malleable twin) and the zero signer.
    function _requireTwoApprovers(
        Enactment calldata enactment,
        bytes calldata signatureA,
        bytes calldata signatureB
    ) private view returns (address low, address high) {
        bytes32 digest = hashEnactment(enactment);
        low = _requireApprover(digest, signatureA);
        high = _requireApprover(digest, signatureB);
        if (low == high) revert RuleRegistryApproversNotDistinct(low);
        if (low > high) (low, high) = (high, low);
    }

    function _requireApprover(bytes32 digest, bytes calldata signature) private view returns (address signer) {
        signer = ECDSA.recoverCalldata(digest, signature);
        if (!_storage().approvers[signer]) revert RuleRegistryNotAnApprover(signer);
    }

    function _version(uint8 what, bytes32 id, uint32 version) private view returns (Version storage) {
        return _storage().versions[keccak256(abi.encode(what, id, version))];
    }

    function _storage() private pure returns (RuleRegistryStorage storage $) {
        assembly {
            $.slot := STORAGE_LOCATION
        }
    }
}
