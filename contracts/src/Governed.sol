// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControlUpgradeable} from "@openzeppelin/contracts-upgradeable/access/AccessControlUpgradeable.sol";
import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

/// @notice Who holds which role when a contract is initialised. Roles can be moved later with
/// `grantRole` and `revokeRole` by the holder of `DEFAULT_ADMIN_ROLE`.
/// @param admin grants and revokes roles
/// @param government enacts settings: budgets, points classes, approvers, dispute windows; decides disputes
/// @param auditor pauses and unpauses
/// @param upgrader replaces the implementation: the timelock, which is admin too
/// @param chainSenders the lanes that send batches, checkpoints, space rights and settlements
struct RoleHolders {
    address admin;
    address government;
    address auditor;
    address upgrader;
    address[] chainSenders;
}

/// @title Governed
/// @notice What all Tanhui contracts share: four roles, a pause held by the auditor, UUPS upgrades held by
/// the upgrader. State lives in OpenZeppelin's ERC-7201 namespaces, so this base adds no slot of its own.
abstract contract Governed is AccessControlUpgradeable, PausableUpgradeable, UUPSUpgradeable {
    /// @notice May post batches, anchor checkpoints, act on space rights, settle charges and open disputes.
    bytes32 public constant CHAIN_SENDER = keccak256("CHAIN_SENDER");
    /// @notice May set budgets, points classes, approvers and dispute windows, and decide disputes.
    bytes32 public constant GOVERNMENT = keccak256("GOVERNMENT");
    /// @notice May pause and unpause.
    bytes32 public constant AUDITOR = keccak256("AUDITOR");
    /// @notice May replace the implementation.
    bytes32 public constant UPGRADER = keccak256("UPGRADER");

    /// @notice A role holder named at initialisation is the zero address.
    error GovernedHolderMissing();
    /// @notice A contract stands between the sending account and this one; verifiers need `tx.to` to be this proxy.
    error GovernedIndirectCall(address caller);

    /// @dev Verifiers decode the input of the transaction itself, therefore a post or an anchor that reaches us
    /// through another contract would move points that nobody could prove. Refused here.
    modifier onlyDirect() {
        if (msg.sender != tx.origin) revert GovernedIndirectCall(msg.sender);
        _;
    }

    /// @notice Stops every function that moves points or anchors checkpoints.
    function pause() external onlyRole(AUDITOR) {
        _pause();
    }

    /// @notice Ends a pause.
    function unpause() external onlyRole(AUDITOR) {
        _unpause();
    }

    /// @dev Called once from `initialize`. Every holder must be named: a role without a holder could only be
    /// filled by the admin alone, unseen at deployment.
    function _initGoverned(RoleHolders calldata holders) internal onlyInitializing {
        __AccessControl_init();
        __Pausable_init();
        _grantNamed(DEFAULT_ADMIN_ROLE, holders.admin);
        _grantNamed(GOVERNMENT, holders.government);
        _grantNamed(AUDITOR, holders.auditor);
        _grantNamed(UPGRADER, holders.upgrader);
        for (uint256 i = 0; i < holders.chainSenders.length; ++i) {
            _grantNamed(CHAIN_SENDER, holders.chainSenders[i]);
        }
    }

    /// @inheritdoc UUPSUpgradeable
    function _authorizeUpgrade(address) internal view override onlyRole(UPGRADER) {}

    function _grantNamed(bytes32 role, address holder) private {
        if (holder == address(0)) revert GovernedHolderMissing();
        _grantRole(role, holder);
    }
}
