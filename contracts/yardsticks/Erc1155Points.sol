// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

/// @notice Points by class as ERC-1155, a loop over many accounts in one transaction. A yardstick of
/// `tanhui bench gas`, never deployed by the product.
contract Erc1155Points is ERC1155 {
    address private immutable minter = msg.sender;

    error Erc1155PointsNotMinter(address caller);

    constructor() ERC1155("") {}

    /// @notice Awards to many accounts of one class.
    function mintTo(address[] calldata accounts, uint256 class, uint256[] calldata amounts) external {
        if (msg.sender != minter) revert Erc1155PointsNotMinter(msg.sender);
        for (uint256 i = 0; i < accounts.length; ++i) {
            _mint(accounts[i], class, amounts[i], "");
        }
    }
}
