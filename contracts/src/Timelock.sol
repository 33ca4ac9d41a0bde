// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Who upgrades and who moves roles is OpenZeppelin's timelock, compiled unchanged: what it does is known
// from its documentation, and its code can be compared with the published one.
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
