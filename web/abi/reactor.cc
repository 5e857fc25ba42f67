// SPDX-License-Identifier: Apache-2.0
// All of a module lies in its libraries; an executable wants a source.
