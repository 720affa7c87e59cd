// SPDX-License-Identifier: BSL-1.0
// The source that a library of a precompiled header must have.
